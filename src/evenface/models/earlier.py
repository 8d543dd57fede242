"""The grid before a backbone's last stage, beside its last one.

    path = watch(backbone)                        # in place
    last = backbone(x)                            # (B, C, H, W)
    earlier = take(backbone, path)                # (B, C', H', W'), what the last stage was given

| family | the earlier grid | size against the last |
|---|---|---|
| ResNet | `layer3`'s output | 2 H x 2 W |
| MobileNet, EfficientNet | the output of the last block before the last halving | 2 H x 2 W |
| Swin, ConvNeXt | the third stage's output | 2 H x 2 W |
| dlib | the output of the block before the last down block | about 2 H x 2 W |
"""

from __future__ import annotations

import threading
from typing import Any

from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.models.dlib_face import DlibFaceResNet


class _Seen(threading.local):
    """The grid that a thread saw last; a copy starts with none, since a tensor with a history cannot be copied."""

    grid: Tensor | None = None

    def __reduce__(self) -> tuple[type[_Seen], tuple[()]]:
        return _Seen, ()


class Earlier(nn.Module):
    """A module that keeps what it put out last, for each thread that runs it, until it is taken.

    Its state dict has the names of the module itself, so that weights fit a backbone with and without it.
    """

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.seen = _Seen()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(x)
        self.seen.grid = out
        return out

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.part.state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in [name for name in state_dict if name.startswith(prefix)]:
            state_dict[f"{prefix}part.{name.removeprefix(prefix)}"] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)


def watch(backbone: Backbone) -> str:
    """Puts an `Earlier` around the end of the stage before the last, in place, and returns where it is within `backbone.net`.

    Raises:
        ConfigError: see `earlier_path`.
    """
    path = earlier_path(backbone)
    net: Any = backbone.net
    above, _, name = path.rpartition(".")
    setattr(net.get_submodule(above), name, Earlier(net.get_submodule(path)))
    return path


def earlier_path(backbone: Backbone) -> str:
    """Where the end of the stage before the last is within `backbone.net`.

    Raises:
        ConfigError: a network whose stages have no names that timm tells.
    """
    net: Any = backbone.net
    if isinstance(net, DlibFaceResNet):
        return f"blocks.{max(i for i, block in enumerate(net.blocks) if _goes_down(block)) - 1}"
    stages = [entry["module"] for entry in (getattr(net, "feature_info", None) or [])]
    if len(stages) < 2:
        raise ConfigError(f"The backbone '{backbone.name}' does not say what its stages are; take a ResNet, MobileNet, Swin or ConvNeXt.")
    return str(stages[-2])


def _goes_down(block: nn.Module) -> bool:
    """Whether a block of dlib's network halves its grid; where the network was branched, the block holds copies of it."""
    return any(getattr(part, "down", False) for part in block.modules())


def take(backbone: Backbone, path: str) -> Tensor:
    """The earlier grid of this thread's last forward pass, (B, C', H', W'); it is forgotten here, so that memory does not hold it on."""
    earlier = backbone.net.get_submodule(path)
    assert isinstance(earlier, Earlier)
    seen, earlier.seen.grid = earlier.seen.grid, None
    assert seen is not None, "the backbone must run first"
    return seen.permute(0, 3, 1, 2) if getattr(backbone.net, "output_fmt", "NCHW") == "NHWC" else seen
