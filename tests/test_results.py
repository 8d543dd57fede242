"""Results: what they hold, what they refuse, and the forms that others read."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest

from evenface.errors import DataError
from evenface.results import Face, FrameResult, to_pandas, to_table


SCORES = {"happiness": 0.1, "fear": 0.7, "surprise": 0.2}
MARKS = ((30.0, 40.0), (60.0, 41.0), (45.0, 55.0), (33.0, 70.0), (58.0, 71.0))
MODEL = {"name": "m", "version": "1.0", "classes": list(SCORES), "prior": "model"}


def face(**changes: object) -> Face:
    values = {"box": (10.2, 20.6, 80.0, 100.0), "scores": SCORES, "detection_score": 0.99, "landmarks": MARKS}
    return Face(**{**values, **changes})  # type: ignore[arg-type]


def result(*faces: Face, **changes: object) -> FrameResult:
    return FrameResult(**{"source": "a.jpg", "width": 640, "height": 480, "model": MODEL, "faces": faces, **changes})  # type: ignore[arg-type]


def test_the_label_is_the_class_with_the_highest_score() -> None:
    assert (face().label, face().score) == ("fear", 0.7)
    assert list(face().top(2).items()) == [("fear", 0.7), ("surprise", 0.2)]


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 4, 5), (0, 0, 5), (0, 0, float("nan"), 5), (0, 9, 5, 5)])
def test_a_box_that_is_none_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="left < right"):
        face(box=box)


@pytest.mark.parametrize("scores", [{}, {"fear": 0.5}, {"fear": 1.2, "anger": -0.2}])
def test_scores_that_are_no_probabilities_are_refused(scores: dict[str, float]) -> None:
    with pytest.raises(DataError, match="sum to 1"):
        face(scores=scores)


def test_results_are_frozen_and_travel() -> None:
    one = result(face())
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.frame = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(one)) == one
    assert len(one) == 1
    assert [f.label for f in one] == [one[0].label]


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="one pixel"):
        result(width=0)


def test_the_json_is_that_of_the_contract() -> None:
    found = json.loads(json.dumps(result(face(), frame=7, time=0.28).to_dict()))
    assert found == {
        "schema_version": 1, "source": "a.jpg", "frame": 7, "time": 0.28, "width": 640, "height": 480, "model": MODEL,
        "faces": [{
            "id": 0, "box": [10.2, 20.6, 80.0, 100.0], "detection_score": 0.99, "landmarks": [list(p) for p in MARKS],
            "label": "fear", "score": 0.7, "scores": SCORES,
        }],
    }  # fmt: skip
    assert result().to_dict()["faces"] == []


def test_the_json_reads_back() -> None:
    one = result(face(), face(id=1, detection_score=None, landmarks=None), frame=2, time=0.08)
    assert FrameResult.from_dict(json.loads(json.dumps(one.to_dict()))) == one


ONE = {"id": 0, "box": [1, 2, 3, 4], "detection_score": 1.0, "landmarks": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 2}, "has schema_version 2; this evenface reads 1"),
        ({"width": None}, "has a broken one: .*NoneType"),
        ({"faces": [{"id": 0}]}, "has a broken one: 'box'"),
        ({"faces": [{**ONE, "scores": [0.5, 0.5]}]}, "has a broken one: 'list' object"),
        ({"faces": [{**ONE, "scores": {"fear": 1}, "box": [1, 2, 10**400, 4]}]}, "has a broken one: int too large"),
        ({"model": "x"}, "has a broken one: 'model'"),
    ],
)
def test_json_of_another_kind_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        FrameResult.from_dict({**result(face()).to_dict(), **change})


def test_a_list_of_results_is_no_result() -> None:
    with pytest.raises(DataError, match="schema_version None"):
        FrameResult.from_dict([result().to_dict()])  # type: ignore[arg-type]


def test_top_k_keeps_the_highest_scores_in_order() -> None:
    assert list(result(face()).to_dict(top_k=2)["faces"][0]["scores"].items()) == [("fear", 0.7), ("surprise", 0.2)]


def test_hugging_face_form() -> None:
    assert result(face()).to_hf(top_k=2) == [[{"label": "fear", "score": 0.7}, {"label": "surprise", "score": 0.2}]]


def test_deepface_form() -> None:
    assert result(face()).to_deepface() == [{
        "region": {"x": 10, "y": 21, "w": 70, "h": 79, "left_eye": (60, 41), "right_eye": (30, 40)},
        "face_confidence": 0.99,
        "emotion": {"happy": pytest.approx(10), "fear": pytest.approx(70), "surprise": pytest.approx(20)},
        "dominant_emotion": "fear",
    }]  # fmt: skip


def test_a_table_has_a_row_per_face_and_one_per_empty_picture() -> None:
    table = to_table([result(face(), face(id=1)), result(source="empty.jpg")]).to_pylist()
    found = [(row["source"], row["face"], row["label"]) for row in table]
    assert found == [("a.jpg", 0, "fear"), ("a.jpg", 1, "fear"), ("empty.jpg", None, None)]
    assert (table[0]["x1"], table[0]["p_fear"], table[0]["p_happiness"]) == (10.2, 0.7, 0.1)
    assert table[2]["p_fear"] is None
    assert to_table([]).num_rows == 0


def test_a_table_says_which_model_and_prior() -> None:
    own = dataclasses.replace(result(face()), model={"name": "mine", "prior": {"happiness": 0.25, "fear": 0.75}})
    (row,) = to_table([own]).to_pylist()
    assert (row["model"], row["prior"]) == ("mine", "happiness=0.25,fear=0.75")


def test_a_data_frame_has_the_same_rows() -> None:
    frame = result(face()).to_pandas()
    assert frame.loc[0, "label"] == "fear"
    assert list(to_pandas([result(face()), result(face())])["p_surprise"]) == [0.2, 0.2]
