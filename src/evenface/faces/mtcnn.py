"""The MTCNN face detector: three small networks, each asked only about what the one before let through.

    search = Mtcnn(min_face=40)
    search([rgb])[0]                                   # [Detection(box, score, landmarks), ...]; rgb: (H, W, 3) uint8

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016. P-Net looks at every 12 px
square of an image pyramid and proposes boxes, R-Net (24 px) refines them, O-Net (48 px) decides and sets the five landmarks. Thresholds,
overlaps, the factor of the pyramid and the way boxes are rounded are those of the authors' release.

Boxes and landmarks are continuous pixel coordinates: (0, 0) is the outer corner of the first pixel, (W, H) that of the last one. The
authors count pixels from 1 and the last one in, so their (x1, y1, x2, y2) is (x1 - 1, y1 - 1, x2, y2) here; their landmarks are the same.

Pictures of one size go through P-Net together, and all candidates of all pictures through R-Net and O-Net, `CHUNK` at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from evenface.boxes import Over, overlaps
from evenface.faces.cascade_nets import load_nets
from evenface.faces.detection import Detection


CELL, STRIDE = 12, 2  # px that P-Net looks at, and from one look to the next
FACTOR = 0.709  # of one side of the pyramid to the next: about half the area
MIN_PROPOSAL, MIN_REFINED, MIN_SCORE = 0.6, 0.7, 0.7  # lowest score that passes each network
CHUNK = 256  # crops in one pass; bounds the memory for a picture with thousands of candidates
BLOCK = 64  # boxes that are compared with the others at a time
PIXELS = 1 << 20  # that P-Net sees in one pass, or one picture where it has more


class Mtcnn:
    """A `evenface.faces.detection.Search`.

    Args:
        min_face: side of the smallest face that is looked for, in pixels, at least 12; somewhat smaller ones may be found too.
        device: where the networks compute; cutting and sorting out stay on the CPU.
        min_score: lowest score of O-Net that is a face.

    Raises:
        ModelError: the weights in the package are missing or damaged.
    """

    def __init__(self, *, min_face: int = 40, device: torch.device | str = "cpu", min_score: float = MIN_SCORE) -> None:
        self._min_face = min_face
        self._device = torch.device(device)
        self._min_score = min_score
        self._pnet, self._rnet, self._onet = load_nets(device=self._device)

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Pictures (H, W, 3), uint8 RGB, of any sizes -> the faces of each, the surest first; none in a picture smaller than `min_face`."""
        images = [np.ascontiguousarray(image) for image in images]
        which, boxes = self._propose(images)
        which, boxes = self._refine(images, which, boxes)
        which, boxes, scores, points = self._decide(images, which, boxes)
        found: list[list[Detection]] = [[] for _ in images]
        for i, (left, top, right, bottom), score, marks in zip(which, boxes.tolist(), scores.tolist(), points.tolist(), strict=True):
            found[i].append(Detection((left, top, right, bottom), score, tuple((x, y) for x, y in marks)))
        return found

    # Below, `which` (N,) is the picture of each box, `boxes` (N, 4) left, top, right, bottom.

    def _propose(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Squares in whole pixels where P-Net sees something like a face."""
        levels: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in images]  # per picture: boxes, scores, shifts
        for rows in _stacks(images, self._min_face):
            height, width = images[rows[0]].shape[:2]
            for scale in pyramid(height, width, self._min_face):
                size = int(np.ceil(width * scale)), int(np.ceil(height * scale))
                small = np.stack([cv2.resize(images[i], size, interpolation=cv2.INTER_AREA) for i in rows])
                scores, shifts = self._pnet(self._input(small))
                n, y, x = (scores >= MIN_PROPOSAL).nonzero(as_tuple=True)
                at, cells = n.cpu().numpy(), torch.stack((x, y), 1).cpu().numpy()
                found = scores[n, y, x].cpu().numpy(), shifts[n, :, y, x].cpu().numpy()
                # The authors' rounding: towards zero, in pixels counted from 1.
                boxes = np.hstack([np.trunc((STRIDE * cells + 1) / scale) - 1, np.trunc((STRIDE * cells + CELL) / scale)])
                for k, i in enumerate(rows):
                    mine = np.flatnonzero(at == k)
                    kept = mine[nms(boxes[mine], found[0][mine], 0.5)]
                    levels[i].append((boxes[kept], found[0][kept], found[1][kept]))
        which, squares = [np.empty(0, np.int64)], [np.empty((0, 4))]
        for i, parts in enumerate(levels):
            if parts:
                boxes, scores, shifts = (np.concatenate(part) for part in zip(*parts, strict=True))
                kept = nms(boxes, scores, 0.7)
                moved = whole(square(shifted(boxes[kept], shifts[kept], short=1)))
                squares.append(moved[solid(moved)])
                which.append(np.full(len(squares[-1]), i))
        return np.concatenate(which), np.concatenate(squares)

    def _refine(self, images: Sequence[np.ndarray], which: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those that R-Net takes for faces, moved, as squares in whole pixels."""
        scores, shifts = self._judge(self._rnet, 24, images, which, boxes)
        kept = np.flatnonzero(scores > MIN_REFINED)
        kept = kept[nms_each(which[kept], boxes[kept], scores[kept], 0.7)]
        moved = whole(square(shifted(boxes[kept], shifts[kept])))
        return which[kept][solid(moved)], moved[solid(moved)]

    def _decide(
        self, images: Sequence[np.ndarray], which: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """`which`, boxes, scores (N,) and landmarks (N, 5, 2) of those that O-Net takes for faces."""
        scores, shifts, points = self._judge(self._onet, 48, images, which, boxes)
        moved = shifted(boxes, shifts)
        corner, side = boxes[:, :2, None], (boxes[:, 2:] - boxes[:, :2])[..., None]
        marks = (corner + side * points).transpose(0, 2, 1)
        kept = np.flatnonzero((scores > self._min_score) & solid(moved))
        kept = kept[nms_each(which[kept], moved[kept], scores[kept], 0.7, "smaller")]
        return which[kept], moved[kept], scores[kept], marks[kept]

    def _judge(
        self, net: nn.Module, size: int, images: Sequence[np.ndarray], which: np.ndarray, boxes: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """What a network says of the squares `boxes`, each of its answers (N, ...)."""
        answers = []
        for start in range(0, max(1, len(boxes)), CHUNK):  # once at least: no boxes give empty answers
            rows = slice(start, start + CHUNK)
            crops = cut(images, which[rows], boxes[rows], size)
            answers.append([answer.cpu().numpy() for answer in net(self._input(crops))])
        return tuple(np.concatenate(parts) for parts in zip(*answers, strict=True))

    def _input(self, pixels: np.ndarray) -> Tensor:
        """(N, H, W, 3), 0 to 255 -> (N, 3, H, W), float32, -1 to 1, channels last in memory."""
        return torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float().sub_(127.5).mul_(1 / 128)


def _stacks(images: Sequence[np.ndarray], min_face: int) -> Iterator[list[int]]:
    """The pictures by size, as many at a time as have `PIXELS` pixels together on the largest level, one at least."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        sizes.setdefault(image.shape, []).append(i)
    for shape, rows in sizes.items():
        count = max(1, int(PIXELS / (shape[0] * shape[1] * (CELL / min_face) ** 2)))
        for start in range(0, len(rows), count):
            yield rows[start : start + count]


def pyramid(height: int, width: int, min_face: int) -> list[float]:
    """By what a picture is shrunk, so that faces from `min_face` to the shorter side appear in `CELL` px; the largest size first."""
    scales = []
    first = scale = CELL / min_face
    while min(height, width) * scale >= CELL:
        scales.append(scale)
        scale = first * FACTOR ** len(scales)
    return scales


def shifted(boxes: np.ndarray, shifts: np.ndarray, short: int = 0) -> np.ndarray:
    """Boxes (N, 4), their sides moved by `shifts` (N, 4) in widths and heights; the authors take them `short` by a pixel after P-Net."""
    sides = boxes[:, 2:] - boxes[:, :2] - short
    moved: np.ndarray = boxes + shifts * np.tile(sides, 2)
    return moved


def square(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) made square around their middles, by the longer side."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.hstack([middle - half, middle + half])


def whole(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) in whole pixels, by the authors' rounding: towards zero, in pixels counted from 1."""
    first = np.array([1, 1, 0, 0])
    rounded: np.ndarray = np.trunc(boxes + first) - first
    return rounded


def solid(boxes: np.ndarray) -> np.ndarray:
    """Which of the boxes (N, 4) have an area; shifts may turn a box inside out."""
    mask: np.ndarray = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return mask


def cut(images: Sequence[np.ndarray], which: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """The squares `boxes` (N, 4), in whole pixels, of their pictures: (N, size, size, 3), float32, by area; black over the border."""
    crops = np.zeros((len(boxes), size, size, 3), np.float32)
    for crop, i, (left, top, right, bottom) in zip(crops, which.tolist(), boxes.astype(int).tolist(), strict=True):
        height, width = images[i].shape[:2]
        part = images[i][max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        if not part.size:
            continue
        if part.shape[:2] != (bottom - top, right - left):
            padding = max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width)
            part = cv2.copyMakeBorder(part, *padding, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        cv2.resize(part.astype(np.float32), (size, size), dst=crop, interpolation=cv2.INTER_AREA)
    return crops


def nms(boxes: np.ndarray, scores: np.ndarray, overlap: float, over: Over = "union") -> np.ndarray:
    """Rows of the boxes (N, 4) that stay, the surest first, when each takes away the less sure that overlap it by more than `overlap`.

    Args:
        over: what the common area is divided by: the area of both, or that of the smaller one.
    """
    rows = np.argsort(-scores, kind="stable")
    kept = [np.empty(0, np.int64)]
    while len(rows):
        head, tail = rows[:BLOCK], rows[BLOCK:]
        hits = overlaps(boxes[head], boxes[rows], over) > overlap
        alive = np.ones(len(rows), bool)
        for i, hit in enumerate(hits):
            if alive[i]:
                alive[i + 1 :] &= ~hit[i + 1 :]
        kept.append(head[alive[: len(head)]])
        rows = tail[alive[len(head) :]]
    return np.concatenate(kept)


def nms_each(which: np.ndarray, boxes: np.ndarray, scores: np.ndarray, overlap: float, over: Over = "union") -> np.ndarray:
    """`nms` among the boxes of one picture, picture by picture."""
    kept = [np.empty(0, np.int64)]
    for i in np.unique(which):
        mine = np.flatnonzero(which == i)
        kept.append(mine[nms(boxes[mine], scores[mine], overlap, over)])
    return np.concatenate(kept)
