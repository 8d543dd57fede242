"""What a method is: everything that one system of the literature does differently from plain cross-entropy.

A method is one file in this folder and one line in `evenface.methods.METHODS`. The training loop calls the hooks below and knows no
method by name. A method keeps tensors that must survive a resume in `state_dict` (parameters, persistent buffers, submodules).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from evenface.methods._options import check
from evenface.models.output import Output


Picture = Literal["run", "weak", "strong"]
"""How a further view of a face is made: by the run's own augmentation, by a mirror and a small shift, or by RandAugment and a box."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """One training step's faces.

    Attributes:
        x: augmented faces (N, 3, S, S), float32 RGB in [0, 1].
        second: the second view T(x), same shape, or None where the method asks for one view.
        labels: class index (N,), int64.
        soft: vote distribution (N, L), float32, or None for hard labels.
        rows: row of each face in the training split (N,), int64.
        undo: maps (N, L, H, W) of the second view -> the grid of the first (mirrored back for `--view mirror`).
        extra: further views of the same faces, as `Method.extra` asks for them, each like x.
        pool: views of unlabelled faces, as `Method.pool` asks for them, each (M, 3, S, S) like x.
    """

    x: Tensor
    second: Tensor | None
    labels: Tensor
    soft: Tensor | None
    rows: Tensor
    undo: Callable[[Tensor], Tensor]
    extra: tuple[Tensor, ...] = ()
    pool: tuple[Tensor, ...] = ()

    @property
    def target(self) -> Tensor:
        """What cross-entropy is taken against: the votes where there are any, else the labels."""
        return self.labels if self.soft is None else self.soft


@dataclasses.dataclass(frozen=True)
class Losses:
    """The scalar that is differentiated, and its parts by name (unweighted, for the log)."""

    total: Tensor
    parts: dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a method may know of the run it serves.

    Attributes:
        class_names: canonical names, position = class index.
        counts: training faces per class (L,), in that order.
        epochs: how many the run will make.
        passes: "one" sends both views through the network as one batch of 2N, "two" one after the other (the authors' way; batch-norm
            statistics then differ a little).
        labels: class index of every face of the training split (n,); empty where nobody needs them.
        init: what `--init` names, for methods that go on from a finished run.
        batch_size: faces per step, over all processes: `draw`'s rows are cut into batches of so many.
        goes_on: whether the run began before; its saved state is then loaded after `prepare`, which need not look for a start.
    """

    class_names: Sequence[str]
    counts: Sequence[int]
    epochs: int
    passes: str = "one"
    labels: Sequence[int] = ()
    init: str = "none"
    batch_size: int = 64
    goes_on: bool = False


@dataclasses.dataclass(frozen=True)
class Options:
    """A method's hyper-parameters, named and defaulted as in its paper; each becomes a flag of `evenface train`.

    Checked at birth, so that a wrong value fails before any data are read (ConfigError).
    """

    def __post_init__(self) -> None:
        check(self)


AnyOptions: TypeAlias = Options  # inside Method, `Options` is the class variable


class Method(nn.Module):
    """Base of all methods; a subclass needs `loss`, and for the lists `name`, `title`, `paper`, `year` and `Options`.

    It is an nn.Module so that buffers (class weights) move to the device and parameters (extra heads) reach the optimiser.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    year: ClassVar[int]
    Options: ClassVar[type[AnyOptions]] = Options
    batchwise: ClassVar[bool] = False
    """Whether the loss relates the faces of a batch to one another (mixing, ranking), so that it is no plain mean over the batch: several
    processes then train on batches of their own, and do not give the same numbers as one."""

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__()
        self.options = options
        self.setting = setting

    # -------------------- what it asks for

    @property
    def views(self) -> int:
        """How many views of a face the loss needs: 1 or 2."""
        return 1

    @property
    def extra(self) -> tuple[Picture, ...]:
        """Further views of the labelled faces, each with random parameters of its own: `batch.extra`."""
        return ()

    @property
    def pool(self) -> tuple[Picture, ...]:
        """Views of unlabelled faces: `batch.pool`. They come from `--unlabelled`, by default the training faces without their labels."""
        return ()

    @property
    def pool_ratio(self) -> float:
        """Unlabelled faces per labelled face of a step."""
        return 1.0

    @property
    def uses_maps(self) -> bool:
        """Whether the loss compares class maps, for which a map of one cell is too coarse."""
        return False

    # -------------------- the course of a run

    def prepare(self, model: nn.Module) -> nn.Module:
        """Called once with the built and initialised model, before the optimiser: returns the network to be trained.

        The place to change the head (a kind of `evenface.models.networks`), to copy branches, or to make a teacher on `self`. A parameter
        with the attribute `no_decay = True` is left out of weight decay, one with `lr_scale = 10.0` has ten times the learning rate.
        """
        return model

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Rows of the training split that one epoch visits, in order, int64. By default each once, shuffled.

        A resume within an epoch asks again: the answer may depend only on the arguments and the state at the epoch's start.
        """
        return generator.permutation(len(labels))

    def start_epoch(self, epoch: int) -> None:
        """Called with the 0-based epoch before its first step, and again when a run is resumed within it."""

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        """The loss of one batch. Unless `batchwise`, the mean over the batch must be plain, so that parts of a batch can be weighted by
        their size."""
        raise NotImplementedError

    def after_step(self, model: nn.Module) -> None:
        """Called after each update of the weights, without gradient: the place of a teacher's moving average."""

    def deploy(self, model: nn.Module) -> nn.Module:
        """What is evaluated, saved and exported in place of the trained network (a teacher, one branch of several)."""
        return model

    # -------------------- what it tells

    def notes(self) -> list[str]:
        """Sentences for the log at the start (for instance that the class weights are nearly uniform); a subclass adds its own to these."""
        defaults = {option.name: option.default for option in dataclasses.fields(self.options)}
        idle = [(name, because) for because, names in self.idle().items() for name in names]
        given = [(name, because) for name, because in idle if getattr(self.options, name) != defaults[name]]
        return [f"--{name.replace('_', '-')} does nothing with {because}." for name, because in given]

    def idle(self) -> dict[str, tuple[str, ...]]:
        """Names of options that the others leave without effect, by what does so (such as "--lam 0"); who gives one is told so."""
        return {}

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Tables for the run folder, written as `<name>.csv` after every epoch; a column `row` becomes the `id` of that training face."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Name and options, for config and model card."""
        return {"name": self.name, **dataclasses.asdict(self.options)}

    # -------------------- help for subclasses

    def forward_views(self, batch: Batch, model: nn.Module) -> tuple[Output, Output]:
        """Outputs of both views, in one pass of 2N or in two (`Setting.passes`)."""
        assert batch.second is not None, "the method's `views` must be 2"
        first, second = self.forward_all((batch.x, batch.second), model)
        return first, second

    def forward_all(self, pictures: Sequence[Tensor], model: nn.Module) -> list[Output]:
        """Outputs of several batches of faces, in one pass over all or in one pass each (`Setting.passes`)."""
        if self.setting.passes == "two":
            return [model(x) for x in pictures]
        sizes = [len(x) for x in pictures]
        parts = [t.split(sizes) for t in model(torch.cat(list(pictures)))]
        return [Output(*each) for each in zip(*parts, strict=True)]
