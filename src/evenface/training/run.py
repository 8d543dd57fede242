"""One training run from its config to its folder.

result = train(TrainConfig(dataset="synthetic", method="rbcf", img_size=48, epochs=6, output="runs/x"))
resume("runs/x")                       # after Ctrl-C, SIGTERM, kill -9 or a power cut
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from rich.console import Console

from evenface.data.manifest import Manifest
from evenface.data.per_face import Share
from evenface.data.pictures import pictures_of
from evenface.data.store import FaceStore, open_store
from evenface.data.strong import Strong, Weak
from evenface.data.unlabelled import read_unlabelled
from evenface.data.views import Augmentation, Augmenter
from evenface.devices import channels_last_pays, resolve_device, resolve_precision
from evenface.errors import ConfigError, DataError
from evenface.methods import create_method
from evenface.methods.base import Method, Picture, Setting
from evenface.models.classifier import Classifier, build_classifier
from evenface.models.init import load_init, take_normalisation
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig, load_config, resolved
from evenface.training.data import load_manifest, of_left_out, selection_split
from evenface.training.folder import RunFolder, hold, require_new
from evenface.training.judge import ByExpressions, Judge
from evenface.training.loop import Loop
from evenface.training.optim import build_optimizer
from evenface.training.progress import Bar, Board, Listeners, Progress, require_tensorboard
from evenface.training.same import check_same, check_settings
from evenface.training.trainee import Trainee
from evenface.training.watch import Watched, watched_rows


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a finished run left: its folder, and the best epoch (from 1) with its score (0 to 1) on the split it was chosen on."""

    folder: Path
    best_epoch: int
    best: float
    select: str
    select_split: str
    seconds: float


def train(config: TrainConfig, *, command: Sequence[str] = (), console: Console | None = None) -> RunResult:
    """Trains a new run; see `TrainConfig` for the settings.

    Args:
        command: the words it was started with, kept in the run folder.
        console: where progress is shown; None shows nothing.

    Raises:
        ConfigError: a setting that cannot work, or a run folder that exists.
        DataError, DeviceError, ModelError: what the settings name is missing or does not fit.
        TrainingError: interrupted (the state is saved), or a loss that is not finite.
        StorageError: a full disk, or a run folder that cannot be written.
    """
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            "train takes a TrainConfig; from a mapping or a file one is made by evenface.training.config's from_dict and load_config."
        )
    require_new(config.folder)  # before the data are read, which may take minutes
    return _run(resolved(config), None, command, console)


def resume(folder: str | os.PathLike[str], *, command: Sequence[str] = (), console: Console | None = None) -> RunResult:
    """Goes on with a run from its last saved state, to the same final weights as if it had never stopped; a finished run stays as it is.

    Raises:
        ConfigError: no run folder, or a setting in its config.yaml that is not the one it began with.
        ModelError: no state, a damaged one, or one of other data or classes.
        TrainingError: as `train`, or another process is training in the folder.
    """
    path = Path(folder)
    config = dataclasses.replace(load_config(path / "config.yaml"), output=str(path))
    with hold(path):
        saved = load_state(path / "last.ckpt")
        check_settings(saved, config)
        done = saved["state"]
        if done["epoch"] >= config.epochs:
            if int(os.environ.get("RANK", 0)) == 0:
                sayer(console)(f"finished  all {config.epochs} epochs of {path} were done before; nothing to go on with")
            return RunResult(path, done["best_epoch"] + 1, done["best"], config.select, selection_split(config), done["seconds"])
        return _run(config, saved, command, console)


def _run(config: TrainConfig, saved: dict[str, Any] | None, command: Sequence[str], console: Console | None) -> RunResult:
    with contextlib.ExitStack() as stack:
        loop = assemble(config, saved=saved, command=command, console=console, stack=stack)
        state = loop.fit()
        if loop.rank == 0:
            loop.folder.renew_card(state.seconds / 60)
    return RunResult(loop.folder.path, state.best_epoch + 1, state.best, config.select, loop.folder.select_split, state.seconds)


def assemble(
    config: TrainConfig,
    *,
    saved: dict[str, Any] | None = None,
    command: Sequence[str] = (),
    console: Console | None = None,
    stack: contextlib.ExitStack | None = None,
) -> Loop:
    """Everything that a run needs, ready to `fit`: data, model, method, optimiser and run folder.

    Args:
        saved: the state to go on from; None makes the run folder anew.
        stack: where the progress bar and TensorBoard's writer are entered, so that they are closed with it; without one there are none. A
            new run's folder is held until then.
    """
    device = resolve_device(config.device)
    precision, reason = resolve_precision(config.precision, device)
    fabric = fabric_for(device, precision, config.batch_size)
    say = sayer(console if fabric.is_global_zero else None)

    if config.tensorboard:
        require_tensorboard()
    manifest = load_manifest(config)
    select_split = selection_split(config)
    stores = {name: open_split(manifest, name, config, fabric.device, say) for name in ("train", select_split)}
    counts = stores["train"].manifest.counts()
    if empty := [name for name, n in counts.items() if n == 0]:
        raise DataError(f"No training face of {' or '.join(empty)} can be read; repair the pictures, or add some.")
    seen_in = "train" if select_split == "test" else select_split  # what is watched leaves test alone
    if config.watch is not None:
        watched_rows(stores[seen_in].manifest, str(config.watch), config.data_seed)  # a wrong id is told before anything is made

    goes_on = saved is not None
    torch.manual_seed(config.seed)
    model = build_classifier(config.model, manifest.class_names, config.img_size, dropout=config.dropout)
    init = start(model, config, goes_on)
    labels = stores["train"].manifest.targets().tolist()
    setting = Setting(
        manifest.class_names, tuple(counts.values()), config.epochs, config.passes, labels, config.init, config.batch_size, goes_on
    )
    method = create_method(config.method, setting, config.method_options)
    if not goes_on and config.view != "mirror" and method.views == 1:  # an earlier evenface has begun such runs, which may go on
        raise ConfigError(
            f"'{config.method}' asks for no second view of a face, so --view {config.view} would do nothing; leave it out, or take a "
            "method that looks at two views, such as rbcf, or --cls-views both."
        )
    network = cast(Classifier, method.prepare(model))
    if config.ema is not None and not _part_of(method.deploy(network), network):
        raise ConfigError(f"'{config.method}' keeps a network with an average of its own, so --ema would do nothing; leave it out.")
    pool = _pool(config, method, manifest, stores["train"], fabric.device, say)
    folder = RunFolder(config, manifest, stores["train"].manifest, select_split, init)
    if saved is not None:
        check_same(saved, folder, manifest, pool)
    elif fabric.is_global_zero:
        environment = {"device": str(device), "precision": precision, "precision_reason": reason, "processes": fabric.world_size}
        environment |= {} if pool is None else {"pool_pictures": pictures_of(pool.manifest)["train"]}
        folder.create(command, {**environment, **normalisation(model), "train_counts": counts, "notes": list(manifest.notes)}, stack)
    say(
        f"data      {manifest.name}: "
        + ", ".join(f"{name} {len(store):,}" for name, store in stores.items())
        + f" faces at {config.img_size} px"
    )
    say(f"train     {', '.join(f'{label} {n:,}' for label, n in counts.items())}")
    for note in of_left_out(manifest.notes):
        say(f"          {note}")
    say(f"model     {config.model}; {init['summary']}")
    say(f"method    {', '.join(f'{k} {v}' if k != 'name' else str(v) for k, v in method.describe().items())}")
    if method.uses_maps and model.backbone.grid == (1, 1):
        say(
            "          The class maps have a single cell at this size, so comparing them does little; "
            "take a larger --img-size or a finer network."
        )
    for note in method.notes():
        say(f"          {note}")
    if method.batchwise and fabric.world_size > 1:
        say(
            "          It relates the faces of a batch to one another, each process those of its own share: the number of processes counts."
        )
    if stores["train"].manifest.soft_targets() is not None:
        say("          Vote distributions are the target; docs/method.md names the methods that take the most voted label.")
    say(f"device    {device}, {precision} ({reason})" + (f", {fabric.world_size} processes" if fabric.world_size > 1 else ""))
    say(f"folder    {folder.path}")
    if config.protocol == "paper":
        say("protocol  paper: the best epoch is chosen on test, so its score is optimistic")

    judge = ByExpressions(
        stores[select_split], select_split, config.select, fabric.device, precision, fabric.global_rank, fabric.world_size
    )
    mean = tuple(float(v) for v in model.mean.flatten())
    watched = None
    if config.watch is not None and fabric.is_global_zero:
        watched = Watched(stores[seen_in], seen_in, str(config.watch), config.data_seed, folder.path)
        see = f"evenface explain {shlex.quote(str(folder.path))} --epochs"
        say(f"watched   {len(watched.part)} faces of {seen_in}, after every epoch; to see them: {see}")
    given: dict[str, Any] = {"saved": saved, "console": console, "stack": stack, "watched": watched}
    return build_loop(config, fabric, network, method, judge, stores["train"], pool, mean, folder, precision, **given)


def build_loop(
    config: TrainConfig,
    fabric: Fabric,
    network: Classifier,
    method: Method,
    judge: Judge,
    train: FaceStore,
    pool: FaceStore | None,
    mean: tuple[float, ...],
    folder: RunFolder,
    precision: str,
    *,
    saved: dict[str, Any] | None = None,
    console: Console | None = None,
    stack: contextlib.ExitStack | None = None,
    watched: Watched | None = None,
) -> Loop:
    """The loop around a network and its method, set up for the device and the processes: optimiser, moving average, views, progress.

    Args:
        mean: RGB in [0, 1] that erased boxes are filled with.
        saved, stack: as for `assemble`.
        watched: see `Loop`.
    """
    device, say = fabric.device, sayer(console if fabric.is_global_zero else None)
    channels_last = channels_last_pays(device)
    trainee = Trainee(network, method)
    if channels_last:
        trainee = trainee.to(memory_format=torch.channels_last)
    if fabric.world_size > 1 and device.type == "cuda":
        trainee = synchronised(trainee)
    trainee = trainee.to(fabric.device)
    average = None
    if config.ema is not None:
        average = torch.optim.swa_utils.AveragedModel(
            trainee.model,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
    wrapped, optimizer = fabric.setup(trainee, build_optimizer(trainee, config))
    augmentation = Augmentation(**{field.name: getattr(config, field.name) for field in dataclasses.fields(Augmentation)})
    pictures: dict[Picture, Callable[[torch.Tensor, Share], torch.Tensor]] = {
        "run": Augmenter(augmentation, mean, grey=train.channels == 1 and (pool is None or pool.channels == 1)),
        "weak": Weak(),
        "strong": Strong(mean),
    }
    listeners: list[Progress] = []
    if stack is not None and fabric.is_global_zero:
        if config.tensorboard:
            listeners.append(stack.enter_context(Board(folder.path / "tensorboard")))
        if console is not None:
            listeners.append(stack.enter_context(Bar(console, config.epochs, folder.select_split)))
    loop = Loop(
        config,
        fabric,
        wrapped,
        trainee,
        optimizer,
        method,
        average,
        train,
        judge,
        pool,
        pictures,
        mean,
        folder,
        Listeners(*listeners),
        precision,
        channels_last,
        watched,
    )
    if saved is not None:
        loop.load_state_dict(saved)
        saved.clear()  # its weights are copied: they need not stay in memory for the rest of the run
        say(f"resumed   at epoch {loop.state.epoch + 1}, after step {loop.state.step}")
    return loop


def synchronised(trainee: Trainee) -> Trainee:
    """The same, with batch norms that take their statistics over all processes.

    By timm's converter: PyTorch's own loses the activation that many of timm's batch norms hold.
    """
    from timm.layers import convert_sync_batchnorm

    converted: Trainee = convert_sync_batchnorm(trainee)
    return converted


def start(model: Classifier, config: TrainConfig, goes_on: bool) -> dict[str, Any]:
    """Loads the start into a model; what a run keeps of it.

    Args:
        goes_on: the weights come with the state of a run that began before: what is known of the start is what that run wrote, whatever has
            become of the file since.
    """
    if goes_on:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not there, damaged, or of an earlier evenface
            known = json.loads((config.folder / "environment.json").read_text(encoding="utf-8"))
            init = {"summary": "", **known["init"]}
            take_normalisation(model, known["normalisation"])
            return init
    return load_init(model, config.init).to_dict()


def normalisation(model: Classifier) -> dict[str, Any]:
    """That of a model, for `environment.json`; a start may bring its own."""
    return {"normalisation": {"mean": list(model.backbone.mean), "std": list(model.backbone.std)}}


def sayer(console: Console | None) -> Callable[[str], None]:
    """A function that prints a line, or does nothing without a console."""
    if console is None:
        return lambda text: None
    return lambda text: console.print(text, highlight=False, soft_wrap=True, markup=False)


def fabric_for(device: torch.device, precision: str, batch_size: int) -> Fabric:
    """Fabric for this process; under torchrun, one member of a distributed run.

    Raises:
        ConfigError: a batch that is too small for so many processes, or several that do not work together.
    """
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if batch_size < 2 * world:  # told before the processes meet, or one that left would be a broken connection to another
        raise ConfigError(f"--batch-size {batch_size} is too small for {world} processes; each needs two faces or more.")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it would say of the precision, the run says itself, and why
    kind: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if precision == "bf16" else "32-true"
    if world > 1:
        fabric = Fabric(accelerator=device.type, devices=local, num_nodes=world // local, strategy="ddp", precision=kind)
    else:
        devices: Any = [device.index] if device.index is not None else 1
        if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            raise ConfigError(
                "srun has started several processes of one and the same training; start one (srun -n 1), or several that work together "
                "with torchrun."
            )
        # By itself Fabric takes a job of several SLURM tasks for several processes, and refuses it.
        fabric = Fabric(accelerator=device.type, devices=devices, precision=kind, plugins=LightningEnvironment())
    fabric.launch()
    return fabric


def open_split(manifest: Manifest, split: str, config: TrainConfig, device: torch.device, say: Callable[[str], None]) -> FaceStore:
    """The faces of a split; says which could not be read."""
    store = open_store(manifest.split(split), config.img_size, device=device, mode=config.store, workers=config.workers)
    if store.unreadable:
        say(f"skipped   {len(store.unreadable)} {split} images that cannot be read: {', '.join(store.unreadable[:5])}")
    return store


def _part_of(model: torch.nn.Module, network: torch.nn.Module) -> bool:
    """Whether a model holds weights of the network."""
    return bool({id(p) for p in model.parameters()} & {id(p) for p in network.parameters()})


def _pool(
    config: TrainConfig, method: Method, manifest: Manifest, train: FaceStore, device: torch.device, say: Callable[[str], None]
) -> FaceStore | None:
    """The unlabelled faces of a method that asks for some."""
    if not method.pool:
        if config.unlabelled is not None:
            raise ConfigError(f"The method '{method.name}' learns from labelled faces only; leave --unlabelled out.")
        return None
    if config.unlabelled is None:
        say("unlabelled  the training faces without their labels; more of them: --unlabelled FOLDER")
        return train
    pool = open_split(read_unlabelled(config.unlabelled, manifest.class_names), "train", config, device, say)
    say(f"unlabelled  {len(pool):,} faces of {config.unlabelled}")
    return pool
