"""The classifier: a backbone, a global average pool and one linear head, whose weights also give a map per class.

    model = build_classifier("resnet18", BASIC, img_size=112)
    out = model(x)                            # x: (B, 3, 112, 112), RGB in [0, 1]
    out.logits, out.maps, out.features        # (B, 7), (B, 7, 4, 4), (B, 512)

With F the features before the pool, `A[b, l] = sum_c W[l, c] F[b, c]`, so the mean of a map over space plus the head's bias is the logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone, outside_inference_mode
from evenface.models.backbones import create_backbone
from evenface.models.output import Output


class Classifier(nn.Module):
    """Logits, class maps and pooled features of faces.

    The head starts with PyTorch's initialisation of a linear layer, uniform in +-1/sqrt(C) for weight and bias, as in the codes of EAC and
    of most systems compared here. Logits, maps and features are computed in float32 even under autocast: the maps' squared differences
    lose too much in bfloat16.

    Args:
        backbone: gives (B, C, H, W).
        class_names: position = class index; distinct.
        dropout: probability of zeroing a pooled feature, before the head and for the logits only; maps and `features` never see it.
        detach_maps: whether the maps take the head weight as a constant (`detach_cam_weights` of the paper's readings), so that no loss on
            maps reaches the head weight.

    A network with another head or with branches is a subclass that stands in `evenface.models.networks`; it names its `kind`, and
    `settings` are the arguments that build it again around a backbone. Both go into the model folder, with the weights of its `parts`.
    """

    kind: ClassVar[str] = "linear"
    parts: ClassVar[tuple[str, ...]] = ("backbone", "head")  # submodules that inference needs; what else a method attaches is not saved

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, class_names: Sequence[str], *, dropout: float = 0.0, detach_maps: bool = True) -> None:
        super().__init__()
        if len(class_names) < 2 or len(set(class_names)) != len(class_names):
            raise ConfigError(f"A classifier needs two or more distinct class names, not {', '.join(class_names) or 'none'}.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"The dropout must be in [0, 1), not {dropout}.")
        self.backbone = backbone
        self.class_names = tuple(class_names)
        self.detach_maps = detach_maps
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.num_features, len(class_names))
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def of(cls, plain: Classifier, **settings: Any) -> Self:
        """This kind of network around the backbone of a plain classifier, weights included; the head starts anew."""
        network = cls(plain.backbone, plain.class_names, dropout=plain.dropout.p, detach_maps=plain.detach_maps, **settings)
        return network.to(plain.head.weight.dtype)

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of this kind, as JSON can hold them."""
        return {}

    def grid(self, x: Tensor) -> Tensor:
        """RGB in [0, 1], (B, 3, S, S), float32 -> the backbone's last features (B, C, H, W), in the precision of autocast."""
        features: Tensor = self.backbone((x - self.mean) / self.std)
        return features

    def forward(self, x: Tensor) -> Output:
        """RGB in [0, 1], (B, 3, S, S), float32 -> `Output` in float32."""
        grid = self.grid(x)  # (B, C, H, W)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid if grid.dtype == torch.float64 else grid.float()  # float64 stays, for exact tests
            features = grid.mean(dim=(2, 3))
            logits = self.head(self.dropout(features))
            weight = self.head.weight.detach() if self.detach_maps else self.head.weight
            maps = functional.conv2d(grid, weight[:, :, None, None])
        return Output(logits, maps, features)


@outside_inference_mode()
def build_classifier(
    model: str, class_names: Sequence[str], img_size: int, *, pretrained: str | None = None, dropout: float = 0.0, detach_maps: bool = True
) -> Classifier:
    """A classifier with the backbone of that name; see `create_backbone` for the names, `pretrained` and the errors."""
    return Classifier(create_backbone(model, img_size, pretrained), class_names, dropout=dropout, detach_maps=detach_maps)
