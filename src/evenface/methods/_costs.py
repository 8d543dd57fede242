"""What a training step of each method costs beside one of `ce`, as `benchmarks/methods.py` measured it.

costs()["methods"]["rbcf"]        # {"time": 1.7, "memory": 1.3, "steps": 1.0}
epoch_cost("rbcf")                # 1.72
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import Any


@functools.cache
def costs() -> dict[str, Any]:
    """The content of costs.json: per method the time and memory of a step and the steps of an epoch, all relative to `ce`; None for a
    method that does not train."""
    file = importlib.resources.files("evenface.methods") / "costs.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def epoch_cost(method: str) -> float:
    """Time of an epoch relative to `ce`: 0 for a method that does not train, 1 for one that was not measured, as one of the user's."""
    found = costs()["methods"].get(method, {"time": 1.0, "steps": 1.0})
    return 0.0 if found is None else float(found["time"] * found["steps"])
