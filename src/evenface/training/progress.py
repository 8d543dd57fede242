"""What a person sees of a run: a live bar on a terminal, a line per epoch in a file or a pipe, nothing in the other
processes of a distributed run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor

from evenface.errors import MissingExtra


class Progress(Protocol):
    """What the loop tells."""

    def start_epoch(self, epoch: int, steps: int, done: int) -> None: ...

    def step(self, done: int, seen: int, seconds: float, parts: dict[str, Tensor], batch: int, lr: float) -> None: ...

    def end_epoch(self, row: dict[str, Any]) -> None: ...


class Listeners:
    """Tells all of its members; without any it is silent."""

    def __init__(self, *members: Progress) -> None:
        self.members = members

    def start_epoch(self, epoch: int, steps: int, done: int) -> None:
        for member in self.members:
            member.start_epoch(epoch, steps, done)

    def step(self, done: int, seen: int, seconds: float, parts: dict[str, Tensor], batch: int, lr: float) -> None:
        for member in self.members:
            member.step(done, seen, seconds, parts, batch, lr)

    def end_epoch(self, row: dict[str, Any]) -> None:
        for member in self.members:
            member.end_epoch(row)


def require_tensorboard() -> None:
    """Tells before the data are read that the package is missing.

    Raises:
        MissingExtra: it is.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter as SummaryWriter
    except ImportError:
        raise MissingExtra("--tensorboard", "tensorboard") from None


class Board:
    """Writes each epoch's numbers as TensorBoard events into `folder`.

    Raises:
        MissingExtra: the package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()

    def start_epoch(self, epoch: int, steps: int, done: int) -> None:
        pass

    def step(self, done: int, seen: int, seconds: float, parts: dict[str, Tensor], batch: int, lr: float) -> None:
        pass

    def end_epoch(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, float):
                self._writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
        self._writer.flush()


class Bar:
    """A rich bar over the whole run: loss parts, learning rate, images per second, time left; a line for each finished epoch.

    Loss parts are read from the device only when the bar is redrawn, some twice a second.
    """

    def __init__(self, console: Console, epochs: int, select_split: str) -> None:
        self.console = console
        self.epochs = epochs
        self.split = select_split
        self._bar = RichProgress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=120,
            refresh_per_second=2,
        )
        self._task = self._bar.add_task("", total=None, epoch="", losses="", rate="")
        self._steps = 1
        self._epoch = 0
        self._shown = 0.0

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def start_epoch(self, epoch: int, steps: int, done: int) -> None:
        self._steps, self._epoch, self._shown = steps, epoch, 0.0
        total, completed = steps * self.epochs, steps * epoch + done
        self._bar.update(self._task, total=total, completed=completed, epoch=f"{epoch + 1}/{self.epochs}", losses="", rate="")

    def step(self, done: int, seen: int, seconds: float, parts: dict[str, Tensor], batch: int, lr: float) -> None:
        if self.console.is_terminal and seconds - self._shown > 0.5:
            self._shown = seconds
            losses = " ".join(f"{name} {float(value) / batch:.3f}" for name, value in parts.items())
            self._bar.update(self._task, losses=losses, rate=f"lr {lr:.1e} · {seen / max(seconds, 1e-9):.0f} img/s")
        self._bar.update(self._task, completed=self._steps * self._epoch + done)

    def end_epoch(self, row: dict[str, Any]) -> None:
        own = [name for name in row if name.startswith(f"{self.split}_") and not name.endswith("_loss")]
        scores = " ".join(f"{name.removeprefix(f'{self.split}_').replace('_', ' ')} {100 * row[name]:.1f}" for name in own)
        losses = " ".join(f"{name.removeprefix('train_')} {value:.3f}" for name, value in row.items() if name.startswith("train_"))
        mark = "  [green]best[/green]" if row["best"] else ""
        self.console.print(
            f"epoch {row['epoch']}/{self.epochs}  {losses}  |  {self.split}: {scores}  |  {row['images_per_second']:.0f} img/s{mark}",
            highlight=False,
            soft_wrap=True,
        )
