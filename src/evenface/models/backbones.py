"""Backbones by name: any timm network that gives a spatial map, and dlib's face network, through one wrapper to (B, C, H, W).

    backbone = create_backbone("swin_tiny_patch4_window7_224", img_size=112)
    backbone(x).shape, backbone.grid          # (B, 768, 4, 4), (4, 4)

The map is what a network has just before its global average pool:

| family | the map is taken after |
|---|---|
| ResNet | the last stage |
| MobileNet v1, v2, EfficientNet | the last 1x1 convolution (`conv_head`), batch norm and activation |
| MobileNet v3 | the last stage: its `conv_head` works on the pooled vector, so it is left out |
| Swin | the last norm, turned from NHWC to NCHW |
| ConvNeXt | the head's layer norm, applied in each cell; the original applies it to the pooled vector |
| `dlib_face_resnet` | the last block; `dlib_face_resnet_13` leaves out the last down block, which gives a grid twice as fine |
"""

from __future__ import annotations

from collections.abc import Callable

from evenface.errors import ConfigError
from evenface.models import dlib_face
from evenface.models.backbone import Backbone, outside_inference_mode


OWN: dict[str, Callable[[], dlib_face.DlibFaceResNet]] = {
    "dlib_face_resnet": lambda: dlib_face.DlibFaceResNet(),
    "dlib_face_resnet_13": lambda: dlib_face.DlibFaceResNet(last_block=False),
}
"""The names that evenface adds to timm's."""


@outside_inference_mode()
def create_backbone(name: str, img_size: int, pretrained: str | None = None) -> Backbone:
    """The backbone of that name for square images.

    Args:
        name: a name of `timm.list_models()`, or one of `OWN`.
        img_size: side in pixels; given to the networks whose parameters depend on it (Swin).
        pretrained: None for random weights, a timm tag ("a1_in1k") or "default" for the tag that timm prefers. Downloads unless cached.

    Raises:
        ConfigError: an unknown name or tag, a network without a spatial map, or a size it cannot take.
        ModelError: pretrained weights that cannot be had (no network).
    """
    if img_size < 1:
        raise ConfigError(f"The image size must be a positive number of pixels, not {img_size}.")
    if name in OWN:
        if pretrained is not None:
            raise ConfigError(f"timm has no weights for '{name}'; start it with --init dlib-face.")
        return Backbone(OWN[name](), name, img_size, dlib_face.MEAN, dlib_face.STD)
    from evenface.models import timm_nets  # timm and torchvision cost a second and a half: those who do not need them do not wait

    return timm_nets.create(name, img_size, pretrained, others=OWN)
