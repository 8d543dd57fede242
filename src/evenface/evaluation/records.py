"""What an evaluation leaves behind: predictions-<split>.parquet (a row per image) and metrics-<split>.json.

    predictions = read_predictions("runs/x/predictions-test.parquet")
    metrics = summarise(predictions.true, predictions.predicted, predictions.class_names, predictions.duplicates,
                        dataset="ferplus", split="test", provenance={"seeds": [0], "init": "dlib-face"})
    write_metrics("runs/x/metrics-test.json", metrics)

Predictions have the columns `id`, `label`, `predicted`, `duplicate_of_train` and one `p_<class>` per class (float32, softmax, in
the model's class order). Names, never numbers, cross the border. Rates in the JSON lie in [0, 1]; what does not exist (the recall of
a class without images) is null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from evenface.errors import DataError, LabelError
from evenface.evaluation.intervals import bootstrap_scores, wilson
from evenface.evaluation.metrics import AGGREGATES, check_labels, confusion_matrix, scores
from evenface.files import write_aside, write_text


SCHEMA_VERSION = 1
_FIXED = ("id", "label", "predicted", "duplicate_of_train")
_CONTRACT = (
    *("schema_version", "dataset", "split", "n", "class_names", "confusion", "overall", "mean_recall", "macro_f1"),
    *("per_class", "ci95", "duplicates_of_train"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """One model's answers on one split, checked at birth.

    Attributes:
        ids: (n,) unique names of the images.
        true: (n,) int64, positions in `class_names`.
        predicted: (n,) int64, positions in `class_names`.
        probabilities: (n, L) float32, each row sums to 1.
        duplicates: (n,) bool, the image stands in train pixel for pixel.
        class_names: L names, in the model's order.

    Raises:
        DataError: no image, an id twice, columns of different lengths, probabilities that are not.
        LabelError: an index outside the classes.
    """

    ids: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    duplicates: NDArray[np.bool_]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n, classes = len(self.ids), len(self.class_names)
        check_labels(self.true, classes, "true labels")
        check_labels(self.predicted, classes, "predictions")
        lengths = {n, len(self.true), len(self.predicted), len(self.duplicates), len(self.probabilities)}
        if lengths != {n} or self.probabilities.shape != (n, classes):
            raise DataError(
                f"Predictions need one id, label, prediction, flag and {classes} probabilities per image; got {n} ids, {len(self.true)} "
                f"labels, {len(self.predicted)} predictions, {len(self.duplicates)} flags, probabilities {self.probabilities.shape}."
            )
        if len(set(self.ids)) != n:
            name, count = Counter(self.ids).most_common(1)[0]
            raise DataError(f"Predictions name the image {name} {count} times; ids must be unique.")
        # `not all(good)`, since `any(bad)` would let NaN pass
        if not (np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1) <= 1e-3).all() or not (self.probabilities >= 0).all():
            raise DataError("The probabilities of an image must be at least 0 and sum to 1; give the softmax, not the logits.")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was found and where it was written; `metrics` is the content of metrics-<split>.json."""

    metrics: dict[str, Any]
    train_counts: dict[str, int] | None
    metrics_file: Path
    predictions_file: Path


class Scoring(NamedTuple):
    """What a model is scored on, and how; see `evenface.evaluate`."""

    split: str = "test"
    tta: str = "none"
    prior: str = "model"

    @property
    def stem(self) -> str:
        """The part of `predictions-<stem>.parquet` and `metrics-<stem>.json` that says so."""
        return "-".join([self.split, *([] if self.tta == "none" else [self.tta]), *([] if self.prior == "model" else [self.prior])])

    def __str__(self) -> str:
        """`test, --tta flip, --prior balanced`."""
        return self.split + self.flags.replace(" --", ", --")

    @property
    def flags(self) -> str:
        """` --tta flip --prior balanced`, as they are typed behind a command."""
        told = {name: getattr(self, name) for name in ("tta", "prior")}
        return "".join(f" --{name} {value}" for name, value in told.items() if value != self._field_defaults[name])


def why_optimistic(metrics: Mapping[str, Any]) -> str:
    """What makes scores (a metrics file) no estimate for new faces, as `... on these faces`; empty where nothing does."""
    if not metrics.get("optimistic"):
        return ""
    if metrics["split"] == "train":
        return "the model learned"
    if metrics.get("learned_from"):
        return "the model learned, without labels,"
    return "the epoch was chosen" if metrics.get("prior", "model") == "model" else "the epoch was chosen or the calibration fitted"


def optimistic_notes(whys: Mapping[str, str], images: str) -> list[str]:
    """A sentence for each reason; whose scores it concerns is said where it is not all.

    Args:
        whys: run -> what `why_optimistic` says of its scores.
        images: what they were scored on, in words.
    """
    notes = []
    for why in dict.fromkeys(filter(None, whys.values())):
        names = [name for name, reason in whys.items() if reason == why]
        which = "" if len(names) == len(whys) else f", {', '.join(names)}"
        notes.append(f"Optimistic{which}: {why} on {images}; not an estimate for new faces.")
    return notes


def write_predictions(path: str | os.PathLike[str], predictions: Predictions) -> None:
    """Writes the Parquet file aside, then renames it.

    Raises:
        StorageError: the file cannot be written, such as on a full disk.
    """
    names = np.asarray(predictions.class_names, dtype=object)
    columns: dict[str, pa.Array] = {
        "id": pa.array(list(predictions.ids), pa.string()),
        "label": pa.array(names[predictions.true].tolist(), pa.string()),
        "predicted": pa.array(names[predictions.predicted].tolist(), pa.string()),
        "duplicate_of_train": pa.array(np.asarray(predictions.duplicates, dtype=bool)),
    }
    for index, name in enumerate(predictions.class_names):
        columns[f"p_{name}"] = pa.array(np.ascontiguousarray(predictions.probabilities[:, index], dtype=np.float32))
    table = pa.table(columns)
    write_aside(path, lambda file: pq.write_table(table, file))


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Reads what `write_predictions` wrote; the class order is that of the `p_` columns.

    Raises:
        DataError: not there, not Parquet, or columns missing.
        LabelError: a label or a prediction that has no `p_` column.
    """
    try:
        table = pq.read_table(path)
        names = table.column_names
        columns = {name: table[name].to_pylist() for name in _FIXED if name in names}
        class_names = tuple(name[2:] for name in names if name.startswith("p_"))
        probabilities = [table[f"p_{name}"].to_numpy().astype(np.float32) for name in class_names]
    except FileNotFoundError:
        raise DataError(f"There are no predictions at {path}; write them with: evenface evaluate RUN --split SPLIT") from None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:  # a damaged one raises whatever its bytes happen to spell
        raise DataError(f"{path} cannot be read as predictions ({error}); write it again with: evenface evaluate") from error
    missing = [name for name in _FIXED if name not in columns]
    if missing or not class_names:
        raise DataError(f"{path} is not a predictions file; it lacks {', '.join(missing) or 'the p_<class> columns'}.")
    for name, kind in (("id", str), ("duplicate_of_train", bool)):
        if not all(isinstance(value, kind) for value in columns[name]):
            wanted = "texts" if kind is str else "true or false"
            raise DataError(f"{path} has something else than {wanted} in its column {name}; write it again with: evenface evaluate")
    position = {name: index for index, name in enumerate(class_names)}

    def indices(column: str) -> NDArray[np.int64]:
        values = columns[column]
        strange = sorted({str(value) for value in values if value not in position})
        if strange:
            raise LabelError(f"{path} has {column} {', '.join(strange)}, which is none of its classes {', '.join(class_names)}.")
        return np.array([position[value] for value in values], dtype=np.int64)

    return Predictions(
        ids=tuple(columns["id"]),
        true=indices("label"),
        predicted=indices("predicted"),
        probabilities=np.stack(probabilities, axis=1),
        duplicates=np.array(columns["duplicate_of_train"], dtype=bool),
        class_names=class_names,
    )


def summarise(
    true: ArrayLike,
    predicted: ArrayLike,
    class_names: Sequence[str],
    duplicates: ArrayLike,
    *,
    dataset: str,
    split: str,
    provenance: Mapping[str, Any] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of metrics.json.

    `duplicates_of_train` holds `n`, their share right (`overall`, `ci95`) and, under `without`, the scores of all other images.
    `classes_without_images` names the classes that stay out of the means.

    Arguments:
        true: (n,) positions in `class_names`.
        predicted: (n,) positions in `class_names`.
        duplicates: (n,) bool, the image stands in train pixel for pixel.
        provenance: further keys beside the scores: command, seeds, init, init_sha256, model, protocol, tta, selection ...
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError, LabelError: as `confusion_matrix`; a `provenance` key that the contract uses.
    """
    taken = sorted(set(_CONTRACT) & set(provenance or {}))
    if taken:
        raise DataError(f"The provenance may not hold {', '.join(taken)}: metrics.json computes these itself.")
    classes = len(class_names)
    t, p = check_labels(true, classes, "true labels"), check_labels(predicted, classes, "predictions")
    matrix = confusion_matrix(t, p, classes)
    again = np.asarray(duplicates, dtype=bool)
    if again.shape != t.shape:
        raise DataError(f"There are {t.size} images and {again.size} duplicate flags; each image needs one.")
    found = scores(matrix)
    low, high = wilson(np.diagonal(matrix), found.n)
    per_class = {
        name: {
            "n": int(found.n[i]),
            "recall": _rate(found.recall[i]),
            "precision": _rate(found.precision[i]),
            "f1": _rate(found.f1[i]),
            "ci95": [_rate(low[i]), _rate(high[i])] if found.n[i] else None,
        }
        for i, name in enumerate(class_names)
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset,
        "split": split,
        "n": int(t.size),
        "class_names": list(class_names),
        "confusion": matrix.tolist(),
        **_aggregates(t, p, classes, resamples, seed),
        "per_class": per_class,
        "classes_without_images": [name for i, name in enumerate(class_names) if found.n[i] == 0],
        "duplicates_of_train": _duplicates(t, p, again, classes, resamples, seed),
        **(provenance or {}),
    }


def write_metrics(path: str | os.PathLike[str], metrics: Mapping[str, Any]) -> None:
    """Writes metrics.json aside, then renames it; NaN and infinity become null, numpy values plain ones.

    Raises:
        StorageError: the file cannot be written, such as on a full disk.
    """
    text = json.dumps(plain(metrics), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_text(path, text)


def read_metrics(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a metrics.json and checks that it has what the contract names.

    Raises:
        DataError: not there, not JSON, another schema version, or keys missing.
    """
    try:
        metrics = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There are no metrics at {path}; write them with: evenface evaluate RUN --split SPLIT") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as metrics ({error}); write it again with: evenface evaluate") from error
    if not isinstance(metrics, dict) or metrics.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path} does not have schema_version {SCHEMA_VERSION}; write it again with: evenface evaluate")
    missing = [key for key in _CONTRACT if key not in metrics]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; write it again with: evenface evaluate")
    seeds = metrics.get("seeds") or []
    if not (isinstance(seeds, list) and all(isinstance(seed, int) for seed in seeds)):
        raise DataError(f"{path} has {seeds!r} for its seeds, which are a list; write it again with: evenface evaluate")
    return metrics


def _aggregates(t: NDArray[np.int64], p: NDArray[np.int64], classes: int, resamples: int, seed: int) -> dict[str, Any]:
    found = scores(confusion_matrix(t, p, classes))
    intervals = bootstrap_scores(t, p, classes, resamples, seed)
    rates = {name: _rate(getattr(found, name)) for name in AGGREGATES}
    return {**rates, "ci95": {name: [_rate(end) for end in intervals[name]] for name in AGGREGATES}}


def _duplicates(
    t: NDArray[np.int64], p: NDArray[np.int64], again: NDArray[np.bool_], classes: int, resamples: int, seed: int
) -> dict[str, Any]:
    count, right = int(again.sum()), int((t == p)[again].sum())
    low, high = wilson(right, count)
    rest = ~again
    without = {"n": int(rest.sum()), **_aggregates(t[rest], p[rest], classes, resamples, seed)} if rest.any() else None
    return {
        "n": count,
        "overall": right / count if count else None,
        "ci95": [_rate(low), _rate(high)] if count else None,
        "without": without,
    }


def _rate(value: Any) -> float | None:
    """A float for JSON; NaN becomes None."""
    number = float(value)
    return number if math.isfinite(number) else None


def plain(value: Any) -> Any:
    """The same tree in JSON's own types; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return _rate(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
