"""Photos to faces to expressions, in three lines.

    recognizer = Recognizer.from_pretrained()                 # the model that ships with evenface
    result = recognizer.predict("photo.jpg")                  # a FrameResult; also a list of pictures, as one batch
    result.faces[0].label, result.faces[0].scores             # "fear", {"fear": 0.81, ...}

`classify` takes faces that are already cropped, `video` goes through a film. What a score means depends on the class prior that it
assumes; see `prior` and docs/scores.md. What computes the model is a runtime (`evenface.runtimes`); an exported one needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from scipy.special import softmax

from evenface import zoo
from evenface.calibration import adjustment, read_prior
from evenface.errors import ConfigError
from evenface.faces.alignment import Alignment, align, whole
from evenface.faces.detection import MAX_SIDE, Detection
from evenface.faces.detectors import Detector, create_detector
from evenface.model_folder import ModelConfig
from evenface.pictures import Picture, as_picture, is_tensor
from evenface.results import Face, FrameResult
from evenface.runtimes import Runtime, open_runtime


if TYPE_CHECKING:
    import torch

    from evenface.models.classifier import Classifier
    from evenface.video.reading import Frame

TTA = ("none", "flip")
BATCH = 64  # faces that go through the network at once
AHEAD = 8  # frames of a film that are searched and classified together
HELD = 150_000_000  # bytes of frames that may be held for it
SMOOTHING = 0.3  # seconds over which a person's scores are averaged in a film


class Recognizer:
    """A model with a detector in front of it.

    Args:
        model: a classifier, or a runtime (`evenface.runtimes.open_runtime`), which has its own device and precision.
        config: what its folder says of it.
        name: what results call the model.
        detector: a `Detector`, or a name (see `evenface.faces.detectors`) with its own limits.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: fp32, bf16 or auto; bf16 changes scores in the third digit.
        prior: how frequent the classes are where the pictures come from; the scores assume it. "model" takes the model's own decision, as
            it is evaluated; "train" the frequencies of the training set; "balanced" equal ones, which finds more of the rare classes;
            "half" what lies between, by their square roots; or a table class -> frequency, also as text, "fear=0.2,anger=0.1,...".
        tta: "flip" averages each face with its mirror, at twice the cost of the classification.

    Raises:
        ConfigError: a setting that cannot work.
        DeviceError: a device that is not there.
        ModelError: a prior that the model folder has no numbers for.
    """

    def __init__(
        self,
        model: Classifier | Runtime,
        config: ModelConfig,
        *,
        name: str = "model",
        detector: Detector | str = "mtcnn",
        device: str = "auto",
        precision: str = "fp32",
        prior: str | Mapping[str, float] = "model",
        tta: str = "none",
    ) -> None:
        if tta not in TTA:
            raise ConfigError(f"--tta is one of {', '.join(TTA)}, not '{tta}'.")
        self.runtime = model if isinstance(model, Runtime) else _on_torch(model, device, precision)
        self._detector = detector if isinstance(detector, Detector) else create_detector(detector, device=_device_of(self.runtime))
        self._alignment = Alignment.from_dict(config.alignment)
        self.tta = tta
        self.config = config
        self.name = name
        self._temperature, self._offset = self._adjustment(prior)
        prior = read_prior(prior)
        self.prior = prior if isinstance(prior, str) else {name: float(share) for name, share in prior.items()}  # NumPy's are no JSON

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        runtime: str = "auto",
        device: str = "auto",
        precision: str = "fp32",
        detector: str = "mtcnn",
        min_face: int = 40,
        min_score: float | None = None,
        max_faces: int | None = None,
        max_side: int = MAX_SIDE,
        prior: str | Mapping[str, float] = "model",
        tta: str = "none",
        threads: int | None = None,
    ) -> Recognizer:
        """The recognizer of a shipped model, a model folder, a run or an exported file.

        Args:
            name: a name of `evenface models list`, a folder, or a `.onnx` or `.xml` file of `evenface export`; None takes the model that
                ships with evenface.
            runtime: torch, onnx, openvino or auto, which takes an exported file where it is there and no GPU is; see
                `evenface.runtimes.choose`.
            detector, min_face, min_score, max_faces, max_side: see `evenface.faces.detectors.create_detector`.
            device, precision, prior, tta: see `Recognizer`.
            threads: see `evenface.runtimes.open_runtime`.

        Raises:
            ModelError: no such model, or a broken one.
            ConfigError, DeviceError: a setting that cannot work.
            MissingExtra: a runtime whose package is not installed.
        """
        names: dict[str, object] = {"runtime": runtime, "device": device, "precision": precision, "detector": detector}
        for setting, value in names.items():
            if not isinstance(value, str):
                raise ConfigError(f"The {setting} is given by its name, not as {value!r}.")
        given = name if name is not None else zoo.default_model()
        model, config, label = open_runtime(given, runtime=runtime, device=device, precision=precision, threads=threads)
        limits: dict[str, Any] = {"min_face": min_face, "min_score": min_score, "max_faces": max_faces, "max_side": max_side}
        search = create_detector(detector, **limits, device=_device_of(model))
        return cls(model, config, name=label, detector=search, prior=prior, tta=tta)

    def __repr__(self) -> str:
        by = f"runtime {self.runtime.name}, detector {self.detector.name}, prior {self.prior}"
        return f"<Recognizer {self.name}: {len(self.class_names)} expressions, {by}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the scores."""
        return self.config.class_names

    @property
    def about(self) -> dict[str, Any]:
        """What results say of the model: its name, the version of evenface that made it, its classes and the prior."""
        return {"name": self.name, "version": self.config.evenface, "classes": list(self.class_names), "prior": self.prior}

    @overload
    def predict(self, pictures: Picture, *, bgr: bool = False) -> FrameResult: ...  # type: ignore[overload-overlap]  # text is a sequence
    @overload
    def predict(self, pictures: Sequence[Picture], *, bgr: bool = False) -> list[FrameResult]: ...
    def predict(self, pictures: Picture | Sequence[Picture], *, bgr: bool = False) -> FrameResult | list[FrameResult]:
        """Finds the faces of a picture and tells their expressions.

        Args:
            pictures: a path, the bytes of a picture file, a binary file that is open, a PIL image, an RGB array (H, W, 3), (H, W, 4) or
                (H, W), or a tensor (3, H, W), (4, H, W) or (1, H, W); arrays and tensors are uint8, uint16 or float in [0, 1], and alpha is
                dropped. Or a list of these (an array or tensor with one more dimension is a list too), which goes through the networks
                as one batch.
            bgr: arrays and tensors come as blue, green, red, as OpenCV reads them.

        Returns:
            A result, or a list of them in the order of the pictures. A picture without a face has none in `faces`. The faces of a picture
            are the same whether it is alone or in a batch.

        Raises:
            DataError: a file that is missing or holds no picture, or bytes that hold none.
            ConfigError: something that is no picture; films are for `video`.
        """
        if _is_many(pictures):
            opened = [as_picture(picture, bgr=bgr) for picture in pictures]  # type: ignore[union-attr]
            return self.recognize([pixels for pixels, _ in opened], [source for _, source in opened])
        pixels, source = as_picture(pictures, bgr=bgr)
        return self.recognize([pixels], [source])[0]

    @overload
    def classify(self, faces: Picture, *, bgr: bool = False) -> Face: ...  # type: ignore[overload-overlap]  # as above
    @overload
    def classify(self, faces: Sequence[Picture], *, bgr: bool = False) -> list[Face]: ...
    def classify(self, faces: Picture | Sequence[Picture], *, bgr: bool = False) -> Face | list[Face]:
        """Tells the expressions of faces that are already cropped; nothing is searched. Takes what `predict` takes."""
        if not _is_many(faces):
            return self.classify([faces], bgr=bgr)[0]  # type: ignore[list-item]
        pixels = [as_picture(face, bgr=bgr)[0] for face in faces]  # type: ignore[union-attr]
        rows = self.scores([whole(face, self._alignment, self.config.img_size) for face in pixels])
        boxes = [(0.0, 0.0, float(face.shape[1]), float(face.shape[0])) for face in pixels]
        return [Face(box, self._named(row)) for box, row in zip(boxes, rows, strict=True)]

    def video(self, source: str | os.PathLike[str] | int, *, every: int = 1, smoothing: float = SMOOTHING) -> Iterator[FrameResult]:
        """Goes through a film frame by frame, in constant memory.

        Args:
            source: a video file, or the number of a camera (which never ends).
            every: looks at each so many-th frame.
            smoothing: seconds over which a person's scores are averaged; 0 leaves each frame for itself. Faces are followed from frame to
                frame, `id` is the person's track.

        Raises:
            DataError: no such file or camera, or one that breaks; what came before it has been given.
            MissingExtra: video files need the extra `video`.
        """
        from evenface.video.camera import open_camera
        from evenface.video.reading import open_video
        from evenface.video.tracking import Tracker

        tracker = Tracker(smoothing=smoothing)
        with open_camera(source) if isinstance(source, int) else open_video(source) as film:
            ahead = 1 if isinstance(source, int) else AHEAD
            for _, result in self.frames(film.frames(every=every), film.source, ahead=ahead):
                if result is not None:
                    yield tracker.update(result)

    def frames(
        self, frames: Iterable[Frame], source: str, *, every: int = 1, ahead: int = AHEAD
    ) -> Iterator[tuple[Frame, FrameResult | None]]:
        """Each frame, and the result of each `every`-th, None for those between.

        `ahead` results are computed together, fewer where the frames held meanwhile would take much memory. Faces are not followed.

        Raises:
            ConfigError: an `every` below 1.
        """
        from evenface.video.reading import check_range

        return self._frames(frames, source, check_range(every), ahead)

    def _frames(self, frames: Iterable[Frame], source: str, every: int, ahead: int) -> Iterator[tuple[Frame, FrameResult | None]]:
        held: list[tuple[Frame, bool]] = []
        wanted = pixels = 0
        try:
            for number, frame in enumerate(frames):
                held.append((frame, number % every == 0))
                wanted, pixels = wanted + held[-1][1], pixels + frame.image.size
                if wanted >= ahead or pixels > HELD:
                    yield from self._looked_at(held, source)
                    held, wanted, pixels = [], 0, 0
        except Exception:  # the film breaks here: what was read before is still given
            yield from self._looked_at(held, source)
            raise
        yield from self._looked_at(held, source)

    def _looked_at(self, held: Sequence[tuple[Frame, bool]], source: str) -> Iterator[tuple[Frame, FrameResult | None]]:
        chosen = [frame for frame, wanted in held if wanted]
        found = iter(
            self.recognize(
                [f.image for f in chosen], [source] * len(chosen), frames=[f.index for f in chosen], times=[f.time for f in chosen]
            )
        )
        for frame, wanted in held:
            yield frame, next(found) if wanted else None

    def recognize(
        self,
        images: Sequence[np.ndarray],
        sources: Sequence[str],
        *,
        frames: Sequence[int] | None = None,
        times: Sequence[float] | None = None,
    ) -> list[FrameResult]:
        """`predict` for pixels (H, W, 3), uint8 RGB, with the names that the results carry."""
        found = self._detector.detect(images)
        crops = [crop for image, faces in zip(images, found, strict=True) for crop in self.crops(image, faces)]
        rows = iter(self.scores(crops))
        results = []
        for i, (image, detections) in enumerate(zip(images, found, strict=True)):
            faces = tuple(
                Face(face.box, self._named(next(rows)), face.score, face.landmarks, number) for number, face in enumerate(detections)
            )
            frame, time = 0 if frames is None else frames[i], 0.0 if times is None else times[i]
            results.append(FrameResult(sources[i], image.shape[1], image.shape[0], self.about, faces, frame, time))
        return results

    @property
    def detector(self) -> Detector:
        """What finds the faces."""
        return self._detector

    def crops(self, image: np.ndarray, faces: Sequence[Detection | Face]) -> list[np.ndarray]:
        """The faces of a picture as the network sees them: (S, S, 3) uint8 RGB each."""
        size = self.config.img_size
        if self._detector.name == "none":
            return [whole(image, self._alignment, size)] * len(faces)
        return [align(image, face, self._alignment, size) for face in faces]

    def scores(self, crops: Sequence[np.ndarray], prior: str | Mapping[str, float] | None = None, *, one_view: bool = False) -> np.ndarray:
        """Probabilities (n, L), float64, of faces (S, S, 3), uint8 RGB, as `crops` gives them.

        Args:
            prior: another one than the recognizer's, for these faces.
            one_view: without their mirrors, whatever `tta` says.

        Raises:
            ConfigError, ModelError: a prior that is unknown, or that the model has no numbers for.
        """
        temperature, offset = (self._temperature, self._offset) if prior is None else self._adjustment(prior)
        if not crops:
            return np.zeros((0, len(self.class_names)))
        logits = np.concatenate([self._logits(np.stack(crops[i : i + BATCH]), one_view) for i in range(0, len(crops), BATCH)])
        found: np.ndarray = softmax(logits.astype(np.float64) / temperature + offset, axis=1)
        return found

    def _logits(self, faces: np.ndarray, one_view: bool) -> np.ndarray:
        """uint8 (n, S, S, 3) -> (n, L); with mirrors, the logarithms of the mean probabilities."""
        logits = self.runtime.logits(faces)
        if self.tta == "flip" and not one_view:
            mirror = self.runtime.logits(faces[:, :, ::-1])
            mean = (softmax(logits.astype(np.float64), axis=1) + softmax(mirror.astype(np.float64), axis=1)) / 2
            logits = np.log(np.maximum(mean, 1e-30))
        return logits

    def maps(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Class maps (n, L, h, w), float32, of at least one face (S, S, 3), uint8 RGB, as `crops` gives them; see `evenface.explain`."""
        return np.concatenate([self.runtime.maps(np.stack(crops[i : i + BATCH])) for i in range(0, len(crops), BATCH)])

    def _adjustment(self, prior: str | Mapping[str, float]) -> tuple[float, np.ndarray]:
        config = self.config
        return adjustment(config.class_names, prior=prior, calibration=config.fitted, train_counts=config.train_counts)

    def _named(self, row: np.ndarray) -> dict[str, float]:
        return dict(zip(self.class_names, row.tolist(), strict=True))


def _on_torch(model: Classifier, device: str, precision: str) -> Runtime:
    from evenface.runtimes.torch_runtime import TorchRuntime

    return TorchRuntime(model, device=device, precision=precision)


def _device_of(runtime: Runtime) -> torch.device | str:
    """Where the detector shall compute: beside the model."""
    return getattr(runtime, "device", "cpu")


def _is_many(given: Any) -> bool:
    """A list or tuple of pictures, or an array or tensor of them."""
    if isinstance(given, np.ndarray) or is_tensor(given):
        return bool(given.ndim == 4)
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)
