"""From a model and faces to probabilities.

    probabilities = predict(model, open_store(manifest.split("test"), size), flip=True)      # (n, L)

A face's answer does not depend on its neighbours in the batch: the network is in evaluation mode and nothing is computed over the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from evenface.data.store import FaceStore, to_float


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
    device = torch.device(device)
    mine = np.arange(rank, len(store), world)
    groups = [mine[i : i + batch_size] for i in range(0, len(mine), batch_size)]
    was_training = model.training
    model.eval()
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        for i, faces in enumerate(store.batches(groups)):
            x = to_float(faces.to(device))
            if device.type != "mps":
                x = x.contiguous(memory_format=torch.channels_last)
            p = model(x).logits.float().softmax(dim=1)
            if flip:
                p = (p + model(x.flip(-1)).logits.float().softmax(dim=1)) / 2
            parts.append(p)
            if progress is not None:
                progress(min((i + 1) * batch_size, len(mine)), len(mine))
    model.train(was_training)
    classes = parts[0].shape[1] if parts else 0
    local = torch.cat(parts).cpu().numpy() if parts else np.zeros((0, classes), np.float32)
    return local if world == 1 else _gather(local, len(store), world)


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
