"""The recognizer: every form of a picture, batches, cropped faces by the way of the training faces, priors, films."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evenface import Recognizer
from evenface.data.folder import read_folder
from evenface.data.store import open_store
from evenface.errors import ConfigError, DataError, ModelError
from evenface.evaluation.evaluate import predict
from evenface.faces.detectors import Detector
from evenface.labels import BASIC
from evenface.model_folder import load_model, read_config
from evenface.results import Face
from evenface.video.reading import Frame

from .conftest import SIDE, Squares, with_faces


PLACES = ((10, 10), (60, 40), (90, 5))


def by_hand(tiny: Path, crop: np.ndarray) -> dict[str, float]:
    """Probabilities of one face (H, W, 3): enlarged by PIL, through the network, softmax as a loop."""
    model, config = load_model(tiny)
    face = np.asarray(Image.fromarray(crop).resize((config.img_size,) * 2, Image.Resampling.BICUBIC))
    with torch.inference_mode():
        logits = model(torch.tensor(face).permute(2, 0, 1)[None] / 255).logits[0].tolist()
    powers = [math.exp(v - max(logits)) for v in logits]
    return {name: p / sum(powers) for name, p in zip(config.class_names, powers, strict=True)}


def assert_same(found: Face, expected: Face, tolerance: float = 1e-5) -> None:
    assert found.box == pytest.approx(expected.box, abs=1e-3)
    assert dict(found.scores) == pytest.approx(dict(expected.scores), abs=tolerance)


def test_faces_are_found_cut_out_and_classified(recognizer: Recognizer, tiny: Path) -> None:
    image = with_faces(1, PLACES)
    result = recognizer.predict(image)
    assert (result.source, result.width, result.height, result.frame) == ("array", 128, 96, 0)
    assert sorted(face.box[:2] for face in result) == sorted((float(x), float(y)) for x, y in PLACES)
    for face in result:
        x, y = (int(v) for v in face.box[:2])
        assert face.detection_score == 0.9
        # The box is cut out at the network's size, which is larger than the box: interpolated by another filter than PIL's.
        expected = by_hand(tiny, image[y : y + SIDE, x : x + SIDE])
        assert max(expected, key=expected.__getitem__) == face.label


def test_a_cropped_face_has_the_scores_that_a_loop_computes(recognizer: Recognizer, tiny: Path) -> None:
    crop = with_faces(2, ((10, 10),))[10 : 10 + SIDE, 10 : 10 + SIDE]
    assert dict(recognizer.classify(crop).scores) == pytest.approx(by_hand(tiny, crop), abs=1e-5)
    assert recognizer.classify(crop).box == (0, 0, SIDE, SIDE)


def test_one_picture_gives_the_same_alone_and_in_any_batch(recognizer: Recognizer) -> None:
    pictures = [with_faces(seed, PLACES[: 1 + seed % 3], (96 + 7 * seed, 128 + 5 * seed)) for seed in range(9)]
    together = recognizer.predict(pictures)
    for picture, result in zip(pictures, together, strict=True):
        alone = recognizer.predict(picture)
        assert len(alone) == len(result)
        for a, b in zip(alone, result, strict=True):
            assert_same(a, b)


def test_every_form_of_a_picture_gives_the_same(recognizer: Recognizer, tmp_path: Path) -> None:
    image = with_faces(3, PLACES)
    Image.fromarray(image).save(tmp_path / "a.png")
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(image), image / 255.0, image.astype(np.float32) / 255, tensor,
             tensor.float() / 255]  # fmt: skip
    expected = recognizer.predict(image)
    for form in forms:
        for a, b in zip(recognizer.predict(form), expected, strict=True):
            assert_same(a, b)
    for a, b in zip(recognizer.predict(image[:, :, ::-1], bgr=True), expected, strict=True):
        assert_same(a, b)
    white = torch.ones(3, 96, 128)
    for a, b in zip(recognizer.predict(white.bfloat16()), recognizer.predict(white), strict=True):
        assert_same(a, b)
    for batch in (np.stack([image, image]), tensor[None], (image,), [image]):
        assert all(len(result) == len(expected) for result in recognizer.predict(batch))  # type: ignore[arg-type,union-attr]


def test_encoded_bytes_open_files_alpha_and_sixteen_bits(recognizer: Recognizer, tmp_path: Path) -> None:
    image = with_faces(3, PLACES)
    Image.fromarray(image).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    written = io.BytesIO()
    written.write(data)  # and not taken back to its start
    seen_through = np.dstack([image, np.full(image.shape[:2], 9, np.uint8)])
    deep = image.astype(np.uint16) * 256 + 255
    forms = [(data, "bytes"), (written, "bytes"), (seen_through, "array"), (deep, "array"), (seen_through / 255.0, "array"),
             (torch.from_numpy(seen_through).permute(2, 0, 1), "tensor"), (torch.from_numpy(deep).permute(2, 0, 1), "tensor")]  # fmt: skip
    expected = recognizer.predict(image)
    with (tmp_path / "a.png").open("rb") as file:
        for form, source in (*forms, (file, str(tmp_path / "a.png"))):
            found = recognizer.predict(form)  # type: ignore[arg-type]
            assert found.source == source
            for a, b in zip(found, expected, strict=True):
                assert_same(a, b)
        both = recognizer.predict([data, file])
    assert [len(result) for result in both] == [len(expected)] * 2
    for a, b in zip(recognizer.predict(np.dstack([image[:, :, ::-1], seen_through[:, :, 3]]), bgr=True), expected, strict=True):
        assert_same(a, b)
    with pytest.raises(DataError, match="The picture bytes cannot be read: it is no picture that can be read"):
        recognizer.classify(b"no picture")


def test_grey_and_turned_pictures(recognizer: Recognizer, tmp_path: Path) -> None:
    grey = with_faces(4, ((20, 10),))[:, :, 0]
    grey[10, 20] = 255
    assert len(recognizer.predict(grey)) == len(recognizer.predict(Image.fromarray(grey))) > 0
    image = with_faces(4, ((20, 10),))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right: written here turned to the left
    Image.fromarray(np.rot90(image).copy()).save(tmp_path / "phone.png", exif=exif)
    result = recognizer.predict(tmp_path / "phone.png")
    assert (result.width, result.height) == (128, 96)
    assert_same(result[0], recognizer.predict(image)[0])


def test_no_face_is_an_empty_result(recognizer: Recognizer) -> None:
    result = recognizer.predict(np.zeros((40, 50, 3), dtype=np.uint8))
    assert result.faces == ()
    assert recognizer.predict([]) == []
    assert recognizer.classify([]) == []


def test_the_way_of_a_cropped_face_is_that_of_evaluation(tiny: Path, tmp_path: Path) -> None:
    """A folder of face files: `evaluate` and `predict` with no detector agree."""
    for number, name in enumerate(BASIC):
        path = tmp_path / "train" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(with_faces(number, ((0, 0),), (SIDE, SIDE))).save(path)
    manifest = read_folder(tmp_path)
    model, config = load_model(tiny)
    expected = predict(model, open_store(manifest, config.img_size))
    ours = Recognizer.from_pretrained(tiny, detector="none", device="cpu")
    found = ours.predict([str(tmp_path / name) for name in manifest.table["image"].combine_chunks().field("path").to_pylist()])
    for result, row in zip(found, expected, strict=True):
        assert [result[0].scores[name] for name in config.class_names] == pytest.approx(row.tolist(), abs=1e-5)


def test_the_mirror_is_averaged(tiny: Path) -> None:
    crop = with_faces(5, ((10, 10),))[10 : 10 + SIDE, 10 : 10 + SIDE]
    both = [by_hand(tiny, crop), by_hand(tiny, crop[:, ::-1])]
    found = Recognizer.from_pretrained(tiny, detector="none", device="cpu", tta="flip").classify(crop)
    assert dict(found.scores) == pytest.approx({name: (both[0][name] + both[1][name]) / 2 for name in both[0]}, abs=1e-5)


def test_a_prior_weighs_the_classes(tiny: Path) -> None:
    """Without a calibration the model's own prior is that of its training counts: p * new / old, normalised."""
    crop = with_faces(6, ((10, 10),))[10 : 10 + SIDE, 10 : 10 + SIDE]
    counts = read_config(tiny).train_counts
    assert counts is not None
    own = by_hand(tiny, crop)
    mine = {name: 0.5 if name == "fear" else 0.5 / 6 for name in BASIC}
    text = ", ".join(f"{name}={share!r}" for name, share in mine.items())
    for prior, new in (("balanced", dict.fromkeys(BASIC, 1 / 7)), (mine, mine), (text, mine), ("train", counts)):
        raised = {name: own[name] * new[name] / counts[name] for name in own}
        expected = {name: value / sum(raised.values()) for name, value in raised.items()}
        one = Recognizer.from_pretrained(tiny, detector="none", device="cpu", prior=prior)
        assert dict(one.classify(crop).scores) == pytest.approx(expected, abs=1e-5)
        assert json.loads(json.dumps(one.about))["prior"] == (mine if prior == text else prior)
    counted = dict(zip(BASIC, np.arange(1, 8), strict=True))  # as of np.bincount
    one = Recognizer.from_pretrained(tiny, detector="none", device="cpu", prior=counted)
    assert json.loads(json.dumps(one.about))["prior"] == {name: i for i, name in enumerate(BASIC, 1)}


def test_it_says_what_it_is(recognizer: Recognizer) -> None:
    assert repr(recognizer) == "<Recognizer tiny: 7 expressions, runtime torch, detector squares, prior model>"


def test_crops_are_what_the_network_sees(recognizer: Recognizer) -> None:
    image = with_faces(7, PLACES)
    result = recognizer.predict(image)
    crops = recognizer.crops(image, result.faces)
    assert all(crop.shape == (32, 32, 3) for crop in crops)
    rows = recognizer.scores(crops)
    assert rows == pytest.approx(np.array([[face.scores[name] for name in recognizer.class_names] for face in result]), abs=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "not int"),
        (np.zeros((4, 4, 2), dtype=np.uint8), r"\(H, W, 3\)"),
        (io.StringIO("text"), "binary mode"),
        (Path("films/Talk.MP4"), r"is a film, not a picture; go through it with recognizer\.video\('films/Talk\.MP4'\)"),
        ("https://example.org/a.jpg", r"^https://example\.org/a\.jpg is an address, .*download it first"),
        (np.zeros((0, 4, 3), dtype=np.uint8), "no pixels"),
        (np.full((4, 4, 3), 7.0), r"lies in \[0, 1\]"),
        (np.zeros((4, 4, 3), dtype=np.int32), "int32"),
        (torch.zeros(5, 4, 3), r"\(3, H, W\)"),
    ],
)
def test_what_is_no_picture_is_refused(recognizer: Recognizer, given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recognizer.predict(given)  # type: ignore[call-overload]


def test_files_that_are_no_pictures_are_refused(recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "b.jpg").touch()
    reasons = {"a.jpg": "no picture that can be read", "b.jpg": "empty file", "c.jpg": "There is no file", ".": "is a folder"}
    for name, message in reasons.items():
        with pytest.raises(DataError, match=message):
            recognizer.predict(tmp_path / name)
    Image.fromarray(with_faces(3, PLACES)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with Image.open(tmp_path / "cut.png") as late, pytest.raises(DataError, match=r"The picture .*cut.png cannot be read"):
        recognizer.predict(late)


def test_settings_that_cannot_work_are_refused(tiny: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        Recognizer.from_pretrained("nowhere", detector="none")
    with pytest.raises(ConfigError, match="balanced"):
        Recognizer.from_pretrained(tiny, detector="none", prior="balance")
    for setting in ("prior", "tta", "detector", "device", "precision", "runtime"):
        with pytest.raises(ConfigError, match="None"):
            Recognizer.from_pretrained(tiny, **{"detector": "none", setting: None})
    with pytest.raises(ConfigError, match="--tta"):
        Recognizer.from_pretrained(tiny, detector="none", tta="experts")
    with pytest.raises(ConfigError, match="mtcnn"):
        Recognizer.from_pretrained(tiny, detector="mtcnnn")


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """A film in which one face drifts and another comes in half-way."""
    av = pytest.importorskip("av", reason="needs PyAV")

    def write(name: str = "clip.mkv", frames: int = 12, size: tuple[int, int] = (128, 96)) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", format="matroska") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
            for number in range(frames):
                places = [(10 + 2 * number, 10)] + [(80, 60)] * (number >= frames // 2)
                places = [(x, y) for x, y in places if y + SIDE <= size[1]]
                picture = av.VideoFrame.from_ndarray(with_faces(8, places, size[::-1]), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return write


def test_a_film_frame_by_frame(recognizer: Recognizer, clip: Callable[..., Path]) -> None:
    results = list(recognizer.video(clip(), every=2, smoothing=0))
    assert [result.frame for result in results] == [0, 2, 4, 6, 8, 10]
    assert [result.time for result in results] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert [[face.id for face in result] for result in results] == [[0]] * 3 + [[0, 1]] * 3
    assert [result[0].box[0] for result in results] == [10 + 4 * i for i in range(6)]


def test_smoothing_averages_a_persons_scores(recognizer: Recognizer, clip: Callable[..., Path]) -> None:
    path = clip()
    plain, smooth = (list(recognizer.video(path, smoothing=s)) for s in (0, 0.5))
    past = math.exp(-0.1 / 0.5)
    expected = [past * plain[0][0].scores["fear"] + (1 - past) * plain[1][0].scores["fear"]]
    assert smooth[1][0].scores["fear"] == pytest.approx(expected[0], abs=1e-6)


def test_results_do_not_depend_on_how_many_frames_are_held(recognizer: Recognizer, clip: Callable[..., Path]) -> None:
    from evenface.video.reading import open_video

    def run(ahead: int) -> list[tuple[int, bool]]:
        with open_video(clip()) as film:
            return [(frame.index, found is not None) for frame, found in recognizer.frames(film.frames(), "x", every=3, ahead=ahead)]

    assert run(1) == run(2) == run(8) == [(i, i % 3 == 0) for i in range(12)]


def test_each_how_many_th_frame_is_a_whole_number_from_one_on(recognizer: Recognizer, clip: Callable[..., Path]) -> None:
    frames = [Frame(i, i / 10, with_faces(8, [(10, 10)])) for i in range(5)]
    for every in (0, -2, 1.5):
        for ask in (lambda n: recognizer.frames(frames, "x", every=n), lambda n: next(recognizer.video(clip(), every=n))):
            with pytest.raises(ConfigError, match=f"at least 1, not {every}"):
                ask(every)
    found = recognizer.frames(frames, "x", every=np.int64(2))  # type: ignore[arg-type]
    assert [frame.index for frame, result in found if result is not None] == [0, 2, 4]
    with pytest.raises(ConfigError, match="A camera's number is 0 or higher, not True"):
        next(recognizer.video(True))


def test_detectors_are_given_in_place(tiny: Path) -> None:
    model, config = load_model(tiny)
    given = Recognizer(model, config, detector=Detector("squares", Squares(), max_faces=1), device="cpu")
    assert len(given.predict(with_faces(1, PLACES))) == 1
