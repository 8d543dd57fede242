"""What tells the pictures of a data set from others under the same ids: blurred, cut out anew, or of other people.

    pictures_of(manifest)          # {"train": "5d1c0f0e0f9a7b21 8a4e...", "test": ...}
    same_pictures(before, now)

Of each split up to 4,096 faces, evenly spaced, are hashed: their files, and what is decoded of them. The same files are the same pictures
where a library decodes them a shade otherwise, and so are the same pixels in files of another format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from evenface.data.duplicates import scan_images
from evenface.data.manifest import Manifest


_MOST = 4096


def pictures_of(manifest: Manifest, splits: Iterable[str] | None = None) -> dict[str, str]:
    """Two short hashes per split (of all, by default), in the order of the rows; a picture that cannot be read counts as such."""
    found = {}
    for split in manifest.splits if splits is None else splits:
        part = manifest.split(split)
        rows = np.unique(np.linspace(0, len(part) - 1, min(len(part), _MOST)).round().astype(np.int64))
        some = part.take(rows)
        files, pixels = hashlib.blake2b(digest_size=8), hashlib.blake2b(digest_size=8)
        for row, digest in enumerate(scan_images(some).digests):
            files.update(_of_file(some, row))
            pixels.update(digest or bytes(16))
        found[split] = f"{files.hexdigest()} {pixels.hexdigest()}"
    return found


def same_pictures(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether the splits that both tell of have the same pictures; what an older evenface has not written down is taken for the same."""
    return all(set(before[split].split()) & set(now[split].split()) for split in before.keys() & now.keys())


def _of_file(manifest: Manifest, row: int) -> bytes:
    try:
        return hashlib.blake2b(manifest.image_bytes(row), digest_size=16).digest()
    except OSError:
        return bytes(16)
