"""Two branches on two grids of one backbone (SCAN-CCI: Gera and Balasubramanian, PRL 2021).

    attention, on the earlier grid E:  u = [max_p GAP(M_p * E_p); GAP(M_g * E)]         logits  z_0 = W u / |u| + b
    regions, on the last grid F:       q_r = GAP of quadrant r of ECA(F)                 logits  z_r = V relu(U q_r + c) + d
    together:                          z = share z_0 + (1 - share) mean_r z_r

E_p is one of 5 x 5 patches; each mask M is sigmoid(BN(PReLU(conv3x3))), for every patch one of its own and one for the whole grid. By
default a mask has a value per channel and cell. The branches in the authors' ResNet-50 start from the outputs of its layers 2 and 3 and
layer 4 is left out; here they are the input and the output of the last stage of any backbone (`earlier.watch`), so that the pretrained
weights are all used. A grid that 2 or 5 does not divide is cut as evenly as may be; quadrants then share the middle row or column, and
patches that would be empty repeat a cell.

The network is not linear in its grids, but its maps are exact for the face that they belong to: with the masks, the winning patch of each
channel, |u|, the channel weights of ECA and the active units of the MLP taken as given, the logit is a sum over cells. Its mean over space
plus `share b + (1 - share) (d + mean_r V [active] c)` is the logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from evenface.errors import ConfigError, unknown_name
from evenface.models.backbone import Backbone
from evenface.models.classifier import Classifier
from evenface.models.earlier import take, watch
from evenface.models.grids import spread
from evenface.models.output import Output


Masks = Literal["channel", "cell"]
Cut = tuple[slice, slice, slice, slice]


class Seen(NamedTuple):
    """What the two branches give beside the output: logits of the attention branch (B, L) and of the four regions (B, 4, L)."""

    output: Output
    attention: Tensor
    regions: Tensor


class Patches(Classifier):
    """An attention branch over patches and a branch over quadrants.

    Args:
        share: of the attention branch in the logits, in [0, 1].
        patches: along each side of the earlier grid.
        masks: a value per "channel" and cell, for which a mask of C channels has 9 C^2 weights, or one per "cell" for all channels (9 C).
        hidden: units of the regions' MLP.
    """

    kind = "patches"
    parts = ("backbone", "masks", "whole", "head", "eca", "inner", "outer")

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        *,
        dropout: float = 0.0,
        detach_maps: bool = True,
        share: float = 0.2,
        patches: int = 5,
        masks: Masks = "channel",
        hidden: int = 256,
    ) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(f"The share of a network of patches must be a number in [0, 1], not {share!r}.")
        if masks not in get_args(Masks):
            raise ConfigError(unknown_name("kind of masks", str(masks), get_args(Masks)))
        if not all(isinstance(n, int) and n >= 1 for n in (patches, hidden)):
            raise ConfigError(f"A network of patches needs whole numbers >= 1 as patches and hidden, not {patches!r} and {hidden!r}.")
        self._settings = {"share": share, "patches": patches, "masks": masks, "hidden": hidden}
        self.share, self.patches = share, patches
        self._path = watch(backbone)
        channels = self._probe()
        self.masks = nn.ModuleList(_mask(channels, masks) for _ in range(patches**2))
        self.whole = _mask(channels, masks)
        self.head = nn.Linear(2 * channels, len(class_names))
        self.eca = nn.Conv1d(1, 1, 5, padding=2, bias=False)
        self.inner = nn.Linear(backbone.num_features, hidden)
        self.outer = nn.Linear(hidden, len(class_names))

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)

    def forward(self, x: Tensor) -> Output:
        """RGB in [0, 1], (B, 3, S, S), float32 -> `Output` in float32; the features are [u / |u|; GAP(ECA(F))]."""
        return self.look(x).output

    def look(self, x: Tensor) -> Seen:
        """As `forward`, with the logits of the branches."""
        last = self.grid(x)
        earlier = take(self.backbone, self._path)
        with torch.autocast(x.device.type, enabled=False):
            dtype = self.head.weight.dtype
            attention, first_maps, vector = self._attend(earlier.to(dtype))
            regions, second_maps, pooled = self._regions(last.to(dtype))
            logits = self.share * attention + (1 - self.share) * regions.mean(1)
            size = (last.shape[2], last.shape[3])
            maps = self.share * spread(first_maps, size) + (1 - self.share) * second_maps
        return Seen(Output(logits, maps, torch.cat([vector, pooled], 1)), attention, regions)

    def _attend(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The earlier grid -> logits (B, L), maps (B, L, H', W'), u / |u|."""
        cuts = _patches(grid.shape[2], grid.shape[3], self.patches)
        masked = [mask(grid[cut]) * grid[cut] for mask, cut in zip(self.masks, cuts, strict=True)]
        whole = self.whole(grid) * grid
        best, winner = torch.stack([part.mean(dim=(2, 3)) for part in masked]).max(0)  # (B, C)
        u = torch.cat([best, whole.mean(dim=(2, 3))], 1)
        norm = u.norm(dim=1, keepdim=True).clamp(min=1e-12)
        won = torch.zeros_like(grid)
        for p, (part, cut) in enumerate(zip(masked, cuts, strict=True)):
            won[cut] += (winner == p)[:, :, None, None] * part * _times(grid, part)
        maps = functional.conv2d(torch.cat([won, whole], 1), self._weight(self.head)) / self._given(norm)[:, :, None, None]
        return self.head(self.dropout(u / norm)), maps, u / norm

    def _regions(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last grid -> logits (B, 4, L), maps (B, L, H, W), GAP(ECA(F))."""
        scale = self.eca(grid.mean(dim=(2, 3))[:, None]).sigmoid()[:, 0]
        grid = grid * scale[:, :, None, None]
        maps = grid.new_zeros(grid.shape[0], self.outer.out_features, *grid.shape[2:])
        logits = []
        for cut in _quadrants(grid.shape[2], grid.shape[3]):
            inner = self.inner(grid[cut].mean(dim=(2, 3)))
            logits.append(self.outer(self.dropout(inner.relu())))
            cells = functional.conv2d(grid[cut], self._weight(self.inner)) * (inner > 0)[:, :, None, None]
            maps[cut] += functional.conv2d(cells, self._weight(self.outer)) * _times(grid, cells) / 4
        return torch.stack(logits, 1), maps, grid.mean(dim=(2, 3))

    def _weight(self, linear: nn.Linear) -> Tensor:
        """As a 1x1 convolution, for the maps."""
        return self._given(linear.weight)[:, :, None, None]

    def _given(self, x: Tensor) -> Tensor:
        return x.detach() if self.detach_maps else x

    @torch.no_grad()
    def _probe(self) -> int:
        """Channels of the earlier grid."""
        training, like = self.backbone.training, next(self.backbone.parameters())
        self.backbone.eval()
        self.backbone(torch.zeros(1, 3, self.backbone.img_size, self.backbone.img_size, dtype=like.dtype, device=like.device))
        self.backbone.train(training)
        return take(self.backbone, self._path).shape[1]


def _mask(channels: int, masks: Masks) -> nn.Sequential:
    out = channels if masks == "channel" else 1
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.PReLU(), nn.BatchNorm2d(out), nn.Sigmoid())


def _patches(height: int, width: int, n: int) -> list[Cut]:
    """n x n patches that share no cell, unless there are fewer cells than patches."""

    def spans(cells: int) -> list[slice]:
        return [slice(i * cells // n, max((i + 1) * cells // n, i * cells // n + 1)) for i in range(n)]

    return [(slice(None), slice(None), rows, columns) for rows in spans(height) for columns in spans(width)]


def _quadrants(height: int, width: int) -> list[Cut]:
    """Four quadrants; of an odd number of rows or columns, both halves have the middle one."""

    def halves(cells: int) -> list[slice]:
        return [slice(0, -(-cells // 2)), slice(cells // 2, cells)]

    return [(slice(None), slice(None), rows, columns) for rows in halves(height) for columns in halves(width)]


def _times(grid: Tensor, part: Tensor) -> float:
    """How many parts of this size make the grid: the mean of a part is the mean of the grid that holds it and zeros, times this."""
    return grid.shape[2] * grid.shape[3] / (part.shape[2] * part.shape[3])
