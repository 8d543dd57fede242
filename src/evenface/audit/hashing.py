"""Pairs of pictures that may be the same photo, found without comparing each with each.

    pairs = candidates(thumbs)           # thumbs: (n, 16, 16) uint8 -> (m, 2) rows, lower first

A thumb, with mean 0 and length 1 (so brightness and contrast do not count), is split into the part that a mirror leaves as it is and the
part whose sign it turns, and both are turned to their principal axes. The code of a picture has a bit per axis: whether the first part lies
above its median there, and whether the second lies farther from 0 than its median does. A mirrored picture has the same code. Each of
`TABLES` tables sorts the pictures by their codes with the bits in another random order, and each picture is compared with its neighbours
there. (Sorted neighbours over random bit orders: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.) Time
goes with n log n; what is held beside the thumbs is some 500 bytes a picture.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


TABLES = 16
AXES = 32  # of each part, that comparisons use
BITS = 24, 12  # of the code, from the first and from the second part
SAMPLE = 20_000  # pictures that the axes and medians are taken from
WINDOW = 256  # neighbours on each side that a picture is compared with, at least
LIKE = 0.90  # correlation of two thumbs, or of one with the other's mirror, that makes them candidates
_BLOCK = 16_384


def candidates(thumbs: np.ndarray, seed: int = 0) -> np.ndarray:
    """Pairs (m, 2), int64, of rows whose thumbs correlate to `LIKE` at least, one of them perhaps mirrored; nearly all there are.

    Args:
        thumbs: (n, S, S) uint8, none of one colour.
        seed: of the bit orders.
    """
    n = len(thumbs)
    if n < 2:
        return np.zeros((0, 2), np.int64)
    rng = np.random.default_rng(seed)
    along, codes = _described(thumbs, rng)
    found = np.zeros(0, np.int64)
    for _ in range(TABLES):
        order = np.argsort(_keys(codes[:, rng.permutation(codes.shape[1])]), kind="stable")
        near = np.concatenate([i * n + j for i, j in _neighbours(along, order)])
        found = np.union1d(found, near)
    i, j = found // n, found % n
    like = _alike(thumbs, i, j)
    return np.stack([i[like], j[like]], axis=1)


def unit(thumbs: np.ndarray) -> np.ndarray:
    """(n, S, S) -> (n, S * S) float32, each row with mean 0 and length 1; of one colour, all 0."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    scaled: np.ndarray = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return scaled


def _described(thumbs: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, 2 * AXES), float32, along the axes of both parts, and codes (n, sum(BITS)), bool."""
    some = thumbs[np.sort(rng.permutation(len(thumbs))[:SAMPLE])]
    axes = [_axes(part) for part in _parts(some)]
    parts = (_parts(thumbs[start : start + _BLOCK]) for start in range(0, len(thumbs), _BLOCK))
    along = np.concatenate([np.hstack([part @ axis for part, axis in zip(both, axes, strict=True)]) for both in parts])
    told = np.hstack([along[:, : BITS[0]], np.abs(along[:, AXES : AXES + BITS[1]])])
    return along, told > np.median(told, axis=0)


def _parts(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a mirror leaves as it is, and what it turns: (n, S * S) each."""
    plain, mirrored = unit(thumbs), unit(thumbs[:, :, ::-1])
    return (plain + mirrored) / 2, (plain - mirrored) / 2


def _axes(part: np.ndarray) -> np.ndarray:
    """Principal axes (S * S, AXES), the strongest first; about 0, for distances are all that counts."""
    _, vectors = np.linalg.eigh((part.T @ part).astype(np.float64))
    axes: np.ndarray = vectors[:, ::-1][:, :AXES].astype(np.float32)
    return axes


def _keys(bits: np.ndarray) -> np.ndarray:
    """Bits (n, k) as whole numbers (n,), the first bit the highest."""
    keys: np.ndarray = bits @ (1 << np.arange(bits.shape[1] - 1, -1, -1, dtype=np.int64))
    return keys


def _neighbours(along: np.ndarray, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows near each other in the order that may correlate to `LIKE`; none that does is left out by the missing axes."""
    yield np.zeros(0, np.int64), np.zeros(0, np.int64)
    for start in range(0, len(order), WINDOW):
        here, there = order[start : start + WINDOW], order[start : start + 2 * WINDOW]
        a, b = along[here], along[there]
        same, turned = a[:, :AXES] @ b[:, :AXES].T, a[:, AXES:] @ b[:, AXES:].T
        lost = np.sqrt(np.maximum(1 - (a**2).sum(1), 0))[:, None] * np.sqrt(np.maximum(1 - (b**2).sum(1), 0))
        i, j = np.nonzero(same + np.abs(turned) + lost >= LIKE)
        i, j = i[i < j], j[i < j]
        yield np.minimum(here[i], there[j]), np.maximum(here[i], there[j])


def _alike(thumbs: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Bool (m,): whether the thumbs of a pair correlate."""
    found = [np.zeros(0, bool)]
    for start in range(0, len(i), _BLOCK):
        here = slice(start, start + _BLOCK)
        a, b, m = unit(thumbs[i[here]]), unit(thumbs[j[here]]), unit(thumbs[j[here]][:, :, ::-1])
        found.append(np.maximum(np.einsum("ij,ij->i", a, b), np.einsum("ij,ij->i", a, m)) >= LIKE)
    return np.concatenate(found)
