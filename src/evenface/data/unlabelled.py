"""A folder of faces without labels, for methods that learn from them as well.

pool = read_unlabelled("path/to/faces")         # every image below it, in sorted order
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evenface.data.layout import files_below, is_image, not_found, require_folder
from evenface.data.manifest import Manifest, build
from evenface.files import printable


TREE = """
  *.jpg  *.png  ...                            (at any depth)
"""


def read_unlabelled(root: str | Path, class_names: Sequence[str]) -> Manifest:
    """Every image below a folder as a manifest of one split, `train`.

    Args:
        class_names: of the run. A manifest has a label in every row; here it is the first class throughout, and means nothing.

    Raises:
        DataError: no such folder, or no image in it.
    """
    path = require_folder(root, "folder of unlabelled faces", TREE)
    files = [file.relative_to(path).as_posix() for file in sorted(files_below(path)) if is_image(file) and file.is_file()]
    if not files:
        raise not_found(path, "folder of unlabelled faces", TREE, "holds no image")
    rows = {"id": files, "split": ["train"] * len(files), "label": [class_names[0]] * len(files), "image": files}
    return build(rows, class_names, name=printable(path.resolve().name), root=path)
