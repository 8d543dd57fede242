"""The training loop: short, in plain sight, and exact to the bit on resume.

Nothing random is carried from step to step: the order of an epoch is a function of (seed, epoch), the augmentation and dropout of a step
of (seed, epoch, step), the learning rate of the point reached. So the state of a run is its weights, its optimiser's moments and two
numbers, and a run that was killed and resumed ends with the same bits, on the CPU, as one that was not. On n processes each takes every
n-th face of the same global batch, and whatever one of them alone could see (a signal, the clock, a loss) is agreed upon by all.
"""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

import lightning_fabric
import numpy as np
import torch
from torch import Tensor, nn

from evenface.data.per_face import Share
from evenface.data.store import FaceStore, to_float
from evenface.data.views import second_view
from evenface.ending import ending_signals, name_of_signal
from evenface.errors import ModelError, TrainingError
from evenface.files import write_text
from evenface.methods.base import Method, Picture
from evenface.models.classifier import Classifier
from evenface.training.checkpoint import save_state
from evenface.training.config import TrainConfig, lasting
from evenface.training.folder import RunFolder, fingerprint
from evenface.training.judge import Judge
from evenface.training.optim import lr_factor
from evenface.training.progress import Progress
from evenface.training.trainee import Trainee
from evenface.training.watch import Watched


class Interrupted(TrainingError):
    """Ctrl-C or SIGTERM came; the state is saved."""


@dataclasses.dataclass
class State:
    """Where a run stands; its best score and log included.

    Attributes:
        epoch, step: the next to be done.
        sums: loss and parts, summed over this process's faces of the epoch so far; tensors on the device, so that adding does not wait for
            it, and kept as they are when the run is saved, so that saving changes no bit of the log.
        seconds: of training, stops left out.
        epoch_began: `seconds` at the start of the epoch.
    """

    epoch: int = 0
    step: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    sums: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    epoch_began: float = 0.0
    log: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class Loop:
    """Trains what it is given; made by `evenface.training.run.train`.

    Args:
        trainee: the module and its optimiser as set up by `fabric`; `plain` is the same module without the wrapper.
        average: the exponential moving average of the classifier, or None.
        train: faces to learn from.
        judge: what the best epoch is chosen by.
        pool: faces without labels, for a method that asks for them.
        pictures: how each kind of further view is made.
        watched: faces whose class maps are kept after every epoch, or None, as in all processes but the first.
    """

    def __init__(
        self,
        config: TrainConfig,
        fabric: lightning_fabric.Fabric,
        trainee: nn.Module,
        plain: Trainee,
        optimizer: torch.optim.Optimizer,
        method: Method,
        average: torch.optim.swa_utils.AveragedModel | None,
        train: FaceStore,
        judge: Judge,
        pool: FaceStore | None,
        pictures: Mapping[Picture, Callable[[Tensor, Share], Tensor]],
        mean: tuple[float, ...],
        folder: RunFolder,
        progress: Progress,
        precision: str,
        channels_last: bool,
        watched: Watched | None = None,
    ) -> None:
        self.config, self.fabric, self.trainee, self.plain, self.optimizer = config, fabric, trainee, plain, optimizer
        self.method, self.average, self.train, self.judge = method, average, train, judge
        self.pool, self.pictures = pool, pictures
        self.mean, self.folder, self.progress, self.precision = mean, folder, progress, precision
        self.channels_last, self.watched = channels_last, watched
        self.state = State()
        self.labels = train.manifest.targets()
        self.soft = train.manifest.soft_targets()
        self.rank, self.world = fabric.global_rank, fabric.world_size
        # Asking whether a loss is finite, or whether to stop, makes an accelerator wait; on a CPU without companions it costs nothing.
        self.check_every = 1 if fabric.device.type == "cpu" else 20
        self._stop = ""
        self._unchecked: list[tuple[int, np.ndarray, Tensor]] = []

    # -------------------- the run

    def fit(self) -> State:
        """Runs to the last epoch.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
            TrainingError: a loss that is not finite.
            StorageError: a full disk.
        """
        with self._signals():
            self._clock = self._saved = time.monotonic()
            if self.state == State():
                if self.watched is not None:
                    self.watched.save(self.model_to_keep(), 0, self.fabric.device)
                self._save()  # from here on there is something to resume
            while self.state.epoch < self.config.epochs:
                self._epoch()
        return self.state

    def _epoch(self) -> None:
        state, config = self.state, self.config
        self.method.start_epoch(state.epoch)
        order = self.method.draw(self.labels, np.random.default_rng([config.seed, state.epoch]))
        groups = [order[i : i + config.batch_size] for i in range(0, len(order), config.batch_size)]
        if len(groups) > 1 and len(groups[-1]) < 2 * self.world:  # too few for batch statistics, or for every process to have one
            groups.pop()
        self.trainee.train()
        self.progress.start_epoch(state.epoch, len(groups), state.step)
        first = state.step
        local = [rows[self.rank :: self.world] for rows in groups[first:]]
        unlabelled = self._unlabelled(groups, first)
        begin, seen = time.monotonic(), 0
        for step, faces in enumerate(self.train.batches(local), start=first):
            mine = local[step - first]
            parts = self.step(groups[step], mine, faces, state.epoch + step / len(groups), step, next(unlabelled))
            for name, value in parts.items():
                state.sums[name] = state.sums[name] + value if name in state.sums else value
            seen += len(groups[step])
            self.progress.step(step + 1, seen, time.monotonic() - begin, parts, len(mine), self._lr())
            state.step = step + 1
            if state.step % self.check_every == 0 or state.step == len(groups):
                self._check_finite()
                self._save_or_stop()
        if not groups:  # a method that only evaluates: no step has asked
            self._save_or_stop()
        self._finish_epoch(sum(map(len, groups)))

    def _unlabelled(self, groups: list[np.ndarray], first: int) -> Iterator[tuple[Tensor, Share] | None]:
        """This process's unlabelled faces of each step, from step `first` on: the pool over and over, shuffled anew each time."""
        if self.pool is None:
            yield from (None for _ in groups[first:])
            return
        generator = np.random.default_rng([self.config.seed, self.state.epoch, 1])
        sizes = [max(self.world, round(len(rows) * self.method.pool_ratio)) for rows in groups]
        rounds = -(-sum(sizes) // len(self.pool))
        order = np.concatenate([generator.permutation(len(self.pool)) for _ in range(rounds)])
        ends = np.cumsum(sizes)
        drawn = [order[end - size : end] for size, end in zip(sizes, ends, strict=True)][first:]
        for rows, faces in zip(drawn, self.pool.batches([rows[self.rank :: self.world] for rows in drawn]), strict=True):
            yield faces, Share(len(rows), self.rank, self.world)

    def step(
        self, rows: np.ndarray, mine: np.ndarray, faces: Tensor, epoch: float, step: int, unlabelled: tuple[Tensor, Share] | None = None
    ) -> dict[str, Tensor]:
        """One update; returns the loss and its parts, summed over this process's faces."""
        config, device = self.config, self.fabric.device
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * lr_factor(config, epoch) * group["lr_scale"]
        seed = np.random.SeedSequence([config.seed, self.state.epoch, step]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed) % 2**62)
        share = Share(len(rows), self.rank, self.world)
        with torch.no_grad():
            faces = to_float(faces.to(device, non_blocking=True))
            x = self.pictures["run"](faces, share)
            second, undo = second_view(config.view, x, self.mean, share) if self.method.views == 2 else (None, lambda maps: maps)
            extra = tuple(self._laid_out(self.pictures[kind](faces, share)) for kind in self.method.extra)
            pool: tuple[Tensor, ...] = ()
            if unlabelled is not None:
                others = to_float(unlabelled[0].to(device, non_blocking=True))
                pool = tuple(self._laid_out(self.pictures[kind](others, unlabelled[1])) for kind in self.method.pool)
            x = self._laid_out(x)
            second = None if second is None else self._laid_out(second)
        labels = torch.from_numpy(self.labels[mine]).to(device)
        soft = None if self.soft is None else torch.from_numpy(self.soft[mine]).to(device)
        if self.rank:
            torch.manual_seed((int(seed) + self.rank) % 2**62)  # dropout masks of their own
        total, parts = self.trainee(x, second, labels, soft, torch.from_numpy(mine).to(device), undo, extra, pool)
        # The processes' gradients are averaged; where their shares of the batch differ in size, that average is weighted here.
        weight = len(mine) * self.world / len(rows)
        self.fabric.backward(total * weight if weight != 1 else total)
        if config.clip_grad is not None:
            norm = self.fabric.clip_gradients(self.trainee, self.optimizer, max_norm=config.clip_grad, error_if_nonfinite=False)
        else:
            norm = torch.nn.utils.get_total_norm(p.grad for p in self.plain.parameters() if p.grad is not None)
        self._unchecked.append((step, rows, total.detach() + 0 * cast(Tensor, norm)))  # a number only where loss and gradient are
        if self.check_every == 1:
            self._check_finite()  # before the weights take it up
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.plain.model)
        with torch.no_grad():
            self.method.after_step(self.plain.model)
        return {name: value.detach() * len(mine) for name, value in {"loss": total, **parts}.items()}

    def _laid_out(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x

    def _finish_epoch(self, seen: int) -> None:
        state = self.state
        self._tick()
        row: dict[str, Any] = {"epoch": state.epoch + 1, "lr": self._lr()}
        row |= {f"train_{name}": self._sum(value) / max(seen, 1) for name, value in state.sums.items()}
        row["images_per_second"] = seen / max(state.seconds - state.epoch_began, 1e-9)
        kept = self.model_to_keep()
        if self.world > 1:  # each process normalised its own share of the batches: all evaluate the running statistics that will be saved
            for buffer in kept.buffers():
                torch.distributed.broadcast(buffer, 0)
        verdict = self.judge(kept)
        row |= {f"{self.folder.select_split}_{name}": score for name, score in verdict.scores.items()}
        better = verdict.value > state.best
        if better:
            state.best, state.best_epoch = verdict.value, state.epoch
        row["best"] = better
        state.log.append(row)
        self._tick()
        state.epoch, state.step, state.sums, state.epoch_began = state.epoch + 1, 0, {}, state.seconds
        if self.rank == 0:
            if better:
                self.folder.save_best(kept, self.method, state.best_epoch + 1, verdict)
            self.folder.write_log(state.log)
            self.folder.write_tables(self.method.tables())
        if self.watched is not None:
            self.watched.save(kept, state.epoch, self.fabric.device)
        self._save()
        self.progress.end_epoch(row)

    def model_to_keep(self) -> Classifier:
        """The classifier that is evaluated and saved: what the method deploys of the network, or of its moving average."""
        model = self.plain.model if self.average is None else self.average.module
        return cast(Classifier, self.method.deploy(model))

    # -------------------- state, stops, and checks

    def _save_or_stop(self) -> None:
        due = time.monotonic() - self._saved > 60 * self.config.save_minutes
        stop, due = self._anywhere(bool(self._stop), due)
        if stop or due:
            self._save()
        if stop:
            raise Interrupted(
                f"Stopped by {self._stop or 'another process'} at epoch {self.state.epoch + 1}, step {self.state.step}; "
                f"the state is saved. Go on with: {self.folder.resume_command}"
            )

    def _save(self) -> None:
        self._tick()
        state = self.state_dict()  # all processes have a part in it
        if self.rank == 0:
            save_state(self.folder.state, state)
        if self.world > 1:
            self.fabric.barrier()
        self._saved = time.monotonic()

    def _tick(self) -> None:
        """Adds the time since the last tick to the run's."""
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now

    def state_dict(self) -> dict[str, Any]:
        sums = {name: cast(Tensor, self.fabric.all_gather(value)).reshape(-1).cpu() for name, value in self.state.sums.items()}
        return {
            "state": {**vars(self.state), "sums": sums},  # of each process
            "trainee": self.plain.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "settings": lasting(self.config),
            "class_names": list(self.train.manifest.class_names),
            "ids": self.folder.fingerprint,
            "votes": self.folder.votes,
            "pool": "" if self.pool is None else fingerprint(self.pool.manifest),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave.

        Raises:
            ModelError: it does not fit the run's settings.
        """
        try:
            self.state = State(**saved["state"])
            self.plain.load_state_dict(saved["trainee"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(saved["average"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(":.")
            raise ModelError(
                f"{self.folder.state} does not fit the settings in config.yaml ({reason}); put back those it began with."
            ) from error
        for name, value in self.state.sums.items():
            if len(value) != self.world:  # another number of processes than before: the first one carries on for all
                value = torch.cat([value.sum().reshape(1), torch.zeros(self.world - 1)])
            self.state.sums[name] = value[self.rank].to(self.fabric.device)

    def _sum(self, value: Tensor) -> float:
        """The sum over all processes."""
        return float(value if self.world == 1 else cast(Tensor, self.fabric.all_reduce(value.clone(), reduce_op="sum")))

    def _anywhere(self, *flags: bool) -> tuple[bool, ...]:
        """Which of the flags are set in any process; all processes must act at the same step."""
        if self.world == 1:
            return flags
        told = cast(Tensor, self.fabric.all_reduce(torch.tensor(flags, dtype=torch.float32), reduce_op="sum"))
        return tuple(bool(value) for value in told.tolist())

    def _lr(self) -> float:
        """The rate of a parameter that learns at no multiple of it."""
        group = self.optimizer.param_groups[0]
        return float(group["lr"] / group["lr_scale"])

    def _check_finite(self) -> None:
        pending, self._unchecked = self._unchecked, []
        if not pending:
            return
        totals = torch.stack([total for _, _, total in pending])
        if self.world > 1:  # a loss that is none in one process stops all
            totals = cast(Tensor, self.fabric.all_reduce(totals, reduce_op="sum"))
        finite = totals.isfinite()
        if bool(finite.all()):
            return
        step, rows, _ = pending[finite.tolist().index(False)]
        ids = [self.train.manifest.ids()[row] for row in rows]
        path = self.folder.path / "nonfinite.json"
        if self.rank == 0:
            write_text(path, json.dumps({"epoch": self.state.epoch + 1, "step": step + 1, "ids": ids}, indent=1))
        raise TrainingError(
            f"The loss or its gradient stopped being a number in epoch {self.state.epoch + 1}, step {step + 1}; "
            f"the faces of that batch are named in {path}. Try a lower --lr or --clip-grad 1; the state saved before it is untouched."
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and a terminal that goes let the step finish; one more, when two seconds have passed, acts as it always does.

        Within two seconds it is the same wish: torchrun and job schedulers hand on to a process what it has received already.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.getsignal(s) or signal.SIG_DFL for s in ending_signals()}
        first = 0.0

        def note(number: int, frame: FrameType | None) -> None:
            nonlocal first
            if not self._stop:
                self._stop, first = name_of_signal(number), time.monotonic()
            elif time.monotonic() - first > 2:
                signal.signal(number, before[signal.Signals(number)])
                signal.raise_signal(number)

        for s in before:
            signal.signal(s, note)
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)
