"""The faces that a student learns from and is judged on; what their labels say is never looked at.

    manifest = read_faces(config, options, BASIC)        # splits train and validation

By default a student sees the training faces only. Test faces, even without labels, would make every later score on them one of a model
that has met these very pictures (transductive learning).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from evenface.data import WITH_VOTES, WITHOUT_CONTEMPT, load_dataset
from evenface.data.manifest import Manifest
from evenface.data.splits import stratified_validation
from evenface.data.unlabelled import read_unlabelled
from evenface.distill.config import DistillOptions
from evenface.errors import DataError
from evenface.labels import size_of
from evenface.training.config import TrainConfig
from evenface.training.data import without


def read_faces(config: TrainConfig, options: DistillOptions, class_names: Sequence[str]) -> Manifest:
    """The faces of `--dataset`, or every image below `--unlabelled`, as a train and a validation split.

    Of a set with votes (FERPlus) those faces count too that its labels cannot decide. The set's own validation split is what the student
    is judged on; where it has none, or all splits are learned from, `val_fraction` of the faces is set aside.

    Args:
        class_names: of the labels that a folder of images is given; they mean nothing.

    Raises:
        DataError: nothing to read, or too few faces.
    """
    if config.unlabelled is not None:
        manifest = read_unlabelled(config.unlabelled, class_names)
    else:
        labels = "every" if config.dataset in WITH_VOTES else "majority"
        classes = 7 if config.dataset in WITHOUT_CONTEMPT else size_of(class_names)  # of the labels, which nobody looks at
        manifest = load_dataset(config.dataset, config.data_dir, classes=classes, labels=labels)
    if config.exclude is not None:
        manifest = without(manifest, Path(config.exclude))
    if options.all_splits:
        column = manifest.table.column_names.index("split")
        table = manifest.table.set_column(column, "split", pa.array(["train"] * len(manifest), pa.string()))
        manifest = manifest.replace(table, notes=(*manifest.notes, "The faces of all splits are learned from, those of test too."))
    if "train" not in manifest.splits:
        raise DataError(f"The data set '{manifest.name}' has no training faces to learn from; give another, or take --all-splits.")
    if "validation" not in manifest.splits:
        manifest = stratified_validation(manifest, config.val_fraction, config.data_seed)
    learn, judge = (manifest.table["split"].to_pylist().count(name) for name in ("train", "validation"))
    if learn < 2 or judge < 2:
        raise DataError(
            f"A student needs two faces or more to learn from and two to be judged on; '{manifest.name}' gives {learn} and {judge}: "
            "add some, or take a larger --val-fraction."
        )
    if "soft" in manifest.table.column_names:
        manifest = manifest.replace(manifest.table.drop_columns(["soft"]))
    return manifest
