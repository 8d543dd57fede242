"""From a model and faces to probabilities.

    probabilities = predict(model, open_store(manifest.split("test"), size), flip=True)      # (n, L)

A face's answer does not depend on its neighbours in the batch: the network is in evaluation mode and nothing is computed over the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from evenface.data.store import FaceStore, to_float
from evenface.errors import ConfigError
from evenface.models.experts import Experts


def predict(
    model: nn.Module,
    store: FaceStore,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    flip: bool = False,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Class probabilities (n, L), float32, of every face of a store, in its order.

    Args:
        flip: average the probabilities of a face and its mirror.
        rank, world: this process's share; the parts are gathered, every process returns the whole.
    """

    def answer(x: Tensor) -> Tensor:
        p: Tensor = model(x).logits.float().softmax(dim=1)
        return (p + model(x.flip(-1)).logits.float().softmax(dim=1)) / 2 if flip else p

    parts = answers(model, answer, store, np.arange(rank, len(store), world), batch_size, device, precision, progress)
    local = torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 0), np.float32)
    return local if world == 1 else _gather(local, len(store), world)


def predict_experts(
    model: Experts,
    store: FaceStore,
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of each expert (K, n, L), float32, for every face of a store and for its mirror."""

    def answer(x: Tensor) -> Tensor:
        return torch.stack([model.experts(view).logits.float() for view in (x, x.flip(-1))], dim=2)  # (K, B, 2, L)

    parts = answers(model, answer, store, np.arange(len(store)), batch_size, device, precision, progress)
    both = torch.cat(parts, dim=1).cpu().numpy() if parts else np.zeros((len(model.heads), 0, 2, len(model.class_names)), np.float32)
    return both[:, :, 0], both[:, :, 1]


def require_sizes(batch_size: int, workers: int) -> None:
    """Refuses what is known not to work before any data are read.

    Raises:
        ConfigError: below 1.
    """
    if batch_size < 1 or workers < 1:
        raise ConfigError(f"batch_size and workers are at least 1, not {batch_size} and {workers}.")


def answers(
    model: nn.Module,
    answer: Callable[[Tensor], Tensor],
    store: FaceStore,
    rows: np.ndarray,
    batch_size: int,
    device: torch.device | str,
    precision: str,
    progress: Callable[[int, int], None] | None,
) -> list[Tensor]:
    """What `answer` gives for the faces of these rows, batch by batch, with the model in evaluation mode.

    Args:
        answer: takes faces (B, 3, S, S), float32 RGB in [0, 1], on the device.
    """
    device = torch.device(device)
    groups = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    was_training = model.training
    model.eval()
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        for i, faces in enumerate(store.batches(groups)):
            x = to_float(faces.to(device))
            if device.type != "mps":
                x = x.contiguous(memory_format=torch.channels_last)
            parts.append(answer(x))
            if progress is not None:
                progress(min((i + 1) * batch_size, len(rows)), len(rows))
    model.train(was_training)
    return parts


def _gather(local: np.ndarray, n: int, world: int) -> np.ndarray:
    """Puts the processes' shares (rows rank, rank + world, ...) back in order."""
    pieces: list[np.ndarray | None] = [None] * world
    torch.distributed.all_gather_object(pieces, local)
    classes = max(p.shape[1] for p in pieces if p is not None)
    whole = np.zeros((n, classes), np.float32)
    for rank, piece in enumerate(pieces):
        if piece is not None and len(piece):
            whole[rank::world] = piece
    return whole
