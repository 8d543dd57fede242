"""What an exported file carries beside its numbers, as texts: all of the model's config, so that the file alone is enough to predict.

    texts = to_metadata(config, name="rbcf", precision="int8", weights_sha256="...")      # goes into metadata_props
    config, name = from_metadata(texts, Path("model.onnx"))

A text stands as it is, anything else as JSON: class_names is '["happiness", ...]', img_size '112'.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenface.errors import ModelError
from evenface.model_folder import ModelConfig


TEXTS = ("architecture", "data_licence", "dataset", "evenface", "weights_dtype", "alignment")
"""Fields of `ModelConfig` that are texts; an alignment may be a table, too."""

LEFT_OUT = ("init",)  # it may name folders of the machine that the model was trained on


def to_metadata(config: ModelConfig, *, name: str, precision: str, weights_sha256: str) -> dict[str, str]:
    """The texts.

    Args:
        name: of the model, which results will carry.
        precision: of the file: fp32, fp16 or int8.
        weights_sha256: of the `model.safetensors` that it was made from.
    """
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in LEFT_OUT}
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in fields.items()
        if value is not None
    }
    return {
        **texts,
        "model": name,
        "precision": precision,
        "prior": "model",  # that of the output `probabilities`
        "weights_sha256": weights_sha256,
        "input": f"faces: float32 (n, 3, {config.img_size}, {config.img_size}), RGB in [0, 1], cut out as `alignment` says",
    }


def from_metadata(texts: Mapping[str, str], path: Path) -> tuple[ModelConfig, str]:
    """The config and the model's name.

    Raises:
        ModelError: the file was not written by `evenface export`, or its metadata are damaged.
    """
    if "class_names" not in texts or "model" not in texts:
        raise ModelError(f"{path} carries no class names of evenface; make it with: evenface export MODEL -o {path.name}")
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    values: dict[str, Any] = {}
    for key in known & set(texts):
        try:
            values[key] = _value(key, texts[key])
        except ValueError as error:
            raise ModelError(f"The metadata '{key}' of {path} are damaged; export the model again.") from error
    details: Any = values.pop("details", None) or {}
    if not isinstance(details, dict):
        raise ModelError(f"The metadata 'details' of {path} are damaged; export the model again.")
    return ModelConfig.from_dict({**details, **values}), texts["model"]


def _value(key: str, text: str) -> object:
    if key in TEXTS and not (key == "alignment" and text.startswith("{")):
        return text
    return json.loads(text)
