"""The work behind `evenface predict`: every input through a recognizer, results to a writer, copies and crops to folders.

    summary = predict_inputs(recognizer, find_inputs(["photos/"]), writer, draw=Path("annotated"))
    summary.pictures, summary.faces, summary.failed

A file that breaks is reported in `failed` and the rest goes on; so is one of which no copy can be made, whose results stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from PIL import Image

from evenface.errors import ConfigError, DataError
from evenface.files import write_aside
from evenface.predict.drawing import draw as drawn
from evenface.predict.inputs import Inputs
from evenface.predict.pictures import predict_pictures
from evenface.predict.writers import Writer
from evenface.recognizer import AHEAD, SMOOTHING, Recognizer
from evenface.results import FrameResult
from evenface.video.camera import open_camera
from evenface.video.reading import Source, load_av, open_video
from evenface.video.tracking import Tracker
from evenface.video.writing import VideoWriter


@dataclasses.dataclass(slots=True)
class Summary:
    """What was done so far; it grows while the work goes on.

    Attributes:
        pictures, frames: looked at.
        faces: found in them.
        empty: pictures and frames without a face.
        failed: files that could not be read (to their end), or of which a copy could not be made, each with the reason.
    """

    pictures: int = 0
    frames: int = 0
    faces: int = 0
    empty: int = 0
    failed: list[tuple[Path, str]] = dataclasses.field(default_factory=list)


class Listener(Protocol):
    """Hears how far the work is."""

    def begin(self, what: str, total: float | None) -> None:
        """A new part: the pictures (a number of them) or a film (seconds, None where unknown)."""

    def reach(self, done: float) -> None:
        """How far the part is."""


class Silent:
    """Shows nothing."""

    def begin(self, what: str, total: float | None) -> None:
        pass

    def reach(self, done: float) -> None:
        pass


def predict_inputs(
    recognizer: Recognizer,
    inputs: Inputs,
    writer: Writer,
    *,
    draw: Path | None = None,
    faces: Path | None = None,
    every: int = 1,
    smoothing: float = SMOOTHING,
    workers: int = 2,
    summary: Summary | None = None,
    listener: Listener | None = None,
) -> Summary:
    """Looks at all inputs: the pictures, then the films, then a camera until it is interrupted.

    Args:
        draw: folder for annotated copies: a .jpg per picture, an .mp4 with its sound per film.
        faces: folder for the faces as the network sees them, a .png each.
        every, smoothing: of films; see `Recognizer.video`.
        workers: threads that decode pictures.
        summary: the one to count in, which stands when the work is interrupted.

    Raises:
        ConfigError: copies would take the place of inputs.
        StorageError: something cannot be written.
        MissingExtra: films need the extra `video`.
    """
    done, heard = summary or Summary(), listener or Silent()
    require_apart(inputs, draw, faces=faces)
    if inputs.films or (inputs.cameras and draw is not None):
        load_av()  # told before the pictures are looked at
    done.failed += inputs.unreadable
    sheet = _Sheet(inputs, draw, faces, recognizer)
    before, uncopied = len(done.failed), 0
    if inputs.pictures:
        heard.begin("pictures", len(inputs.pictures))
    for number, (path, pixels, result) in enumerate(predict_pictures(recognizer, inputs.pictures, failed=done.failed, workers=workers)):
        writer.write(result)
        _count(done, result)
        done.pictures += 1
        unread = len(done.failed)
        with _noted(done, path):
            sheet.crops(path, pixels, result)
        with _noted(done, path):
            sheet.copy(path, pixels, result)
        uncopied += len(done.failed) - unread
        heard.reach(number + 1 + len(done.failed) - before - uncopied)
    for path in inputs.films:
        try:
            with open_video(path) as film:
                heard.begin(path.name, film.duration)
                _film(recognizer, film, path, sheet, writer, every, smoothing, done, heard)
        except DataError as error:
            done.failed.append((path, str(error)))
    for number in inputs.cameras:
        with open_camera(number) as camera:
            heard.begin(camera.source, None)
            _film(recognizer, camera, inputs.root / f"camera{number}", sheet, writer, every, smoothing, done, heard, live=True)
    return done


def require_apart(inputs: Inputs, draw: Path | None, output: Path | None = None, faces: Path | None = None) -> None:
    """No copy, no face and no file of results goes to where something is looked at.

    Raises:
        ConfigError: one would.
    """
    if draw is None and output is None and faces is None:
        return
    given = {real for path in inputs.files for real in (os.path.realpath(path), os.path.join(os.path.realpath(path.parent), path.name))}
    if output is not None and os.path.realpath(output) in given:
        raise ConfigError(f"{output} is looked at; give -o/--output another name.")
    films, real = set(inputs.films), functools.cache(os.path.realpath)  # of a few folders, for many files
    for path in inputs.files:
        if faces is not None and real(inputs.place(path, faces, "").parent) == real(path.parent):
            raise ConfigError(f"The faces of {path} would lie among what is looked at; give --faces another folder.")
        if draw is not None:
            copy = inputs.place(path, draw, ".mp4" if path in films else ".jpg")
            if os.path.join(real(copy.parent), copy.name) in given or real(copy.parent) == real(path.parent):
                raise ConfigError(f"The annotated copy of {path} would lie among what is looked at; give --draw another folder.")


def _count(done: Summary, result: FrameResult) -> None:
    done.faces += len(result.faces)
    done.empty += not result.faces


@contextlib.contextmanager
def _noted(done: Summary, path: Path) -> Iterator[None]:
    """A copy or crop that cannot be made of a file is named, once a file, and the rest goes on."""
    try:
        yield
    except (DataError, ConfigError) as error:
        if not done.failed or done.failed[-1][0] != path:
            done.failed.append((path, str(error)))


def _film(
    recognizer: Recognizer,
    film: Source,
    path: Path,
    sheet: _Sheet,
    writer: Writer,
    every: int,
    smoothing: float,
    done: Summary,
    heard: Listener,
    live: bool = False,
) -> None:
    """One film or camera. With an annotated copy every frame is read, and those between carry the last result's boxes.

    Raises:
        DataError: it broke; what came before stands in the results and in the annotated copy. Or no copy can be made of a camera.
    """
    tracker = Tracker(smoothing=smoothing)
    last: FrameResult | None = None
    broken: DataError | None = None
    noted = contextlib.nullcontext if live else functools.partial(_noted, done, path)  # who sits before a camera hears of it at once
    with _Copy(sheet.film_place(path), film, noted) as copy:
        frames = film.frames() if copy.is_made else film.frames(every=every)
        found_in = recognizer.frames(frames, film.source, every=every if copy.is_made else 1, ahead=1 if live else AHEAD)
        try:
            for frame, found in found_in:
                if found is not None:
                    last = tracker.update(found)
                    writer.write(last, film=True)
                    with noted():
                        sheet.crops(path, frame.image, last, f"-frame{frame.index:06d}")
                    _count(done, last)
                    done.frames += 1
                    heard.reach(frame.time)
                if copy.is_made and last is not None:
                    copy.write(np.asarray(drawn(frame.image, last)), frame.time)
        except DataError as error:
            broken = error
        except KeyboardInterrupt:  # the usual end of a camera
            if not live:
                raise
    if broken is not None:
        raise broken


class _Sheet:
    """Writes the annotated copies and the crops of faces."""

    def __init__(self, inputs: Inputs, draw: Path | None, faces: Path | None, recognizer: Recognizer) -> None:
        self.draw = draw
        self._inputs = inputs
        self._faces = faces
        self._recognizer = recognizer

    def crops(self, path: Path, pixels: np.ndarray, result: FrameResult, frame: str = "") -> None:
        if self._faces is None:
            return
        for face, crop in zip(result.faces, self._recognizer.crops(pixels, result.faces), strict=True):
            place = self._inputs.place(path, self._faces, "")
            place = place.with_name(f"{place.name}{frame}-face{face.id}-{face.label}.png")
            write_aside(place, _saver(crop))

    def copy(self, path: Path, pixels: np.ndarray, result: FrameResult) -> None:
        """Of a picture."""
        if self.draw is None:
            return
        place, data = self._inputs.place(path, self.draw, ".jpg"), io.BytesIO()
        try:
            drawn(pixels, result).save(data, "JPEG", quality=92)
        except OSError as error:
            size = f"{result.width} x {result.height} pixels"
            raise DataError(f"{path} has no annotated copy: {size} do not fit into a JPEG.") from error
        write_aside(place, lambda file: file.write(data.getvalue()))

    def film_place(self, path: Path) -> Path | None:
        """Where the copy of a film goes, if one is wanted."""
        return None if self.draw is None else self._inputs.place(path, self.draw, ".mp4")


class _Copy:
    """The annotated copy of a film at `place`; there is none where that is None, or from where on `noted` hears that none can be made.

    Attributes:
        is_made: it is wanted, and has not failed.
    """

    def __init__(self, place: Path | None, film: Source, noted: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self.is_made = False
        self._noted = noted
        if place is not None:
            with noted():
                self._writer = VideoWriter(place, film)
                self.is_made = True

    def write(self, image: np.ndarray, time: float) -> None:
        with self._noted():
            try:
                self._writer.write(image, time)
            except (DataError, ConfigError):
                self.is_made = False
                self._writer.abort()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.is_made:
            with self._noted():
                self._writer.__exit__(kind, error, trace)


def _saver(pixels: np.ndarray) -> Callable[[object], None]:
    return lambda file: Image.fromarray(pixels).save(file, "PNG")  # type: ignore[arg-type]
