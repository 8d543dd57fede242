"""What a run wrote down of where and on what it was trained: its `environment.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def environment_of(run: Path) -> dict[str, Any]:
    """The whole file; empty where there is none, or a damaged one."""
    try:
        found = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def train_ids(run: Path) -> str:
    """The fingerprint of a run's training faces; empty where the run does not say."""
    return str(environment_of(run).get("data_ids", ""))


def pictures_in(run: Path) -> dict[str, str]:
    """The fingerprints of the pictures that a run was trained and chosen on, by split; empty where the run does not say."""
    found = environment_of(run).get("pictures")
    return {str(split): str(hashes) for split, hashes in found.items()} if isinstance(found, dict) else {}
