"""One distillation from its config to its folder, by the loop that trainings go through.

result = distill(make_config({"dataset": "synthetic", "model": "resnet18", "output": "runs/x"}, DistillOptions(("dlib-face",))))
resume("runs/x")
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console

from evenface.devices import resolve_device, resolve_precision
from evenface.distill.answers import ByAnswers, LearnAnswers
from evenface.distill.config import DistillOptions, options_of, with_whole_paths
from evenface.distill.descriptors import ByDescriptors, LearnDescriptors
from evenface.distill.faces import read_faces
from evenface.distill.folder import DistillFolder
from evenface.distill.teachers import FACE_SIZE, FaceTeacher, ModelTeachers, Teacher
from evenface.errors import ModelError
from evenface.labels import BASIC
from evenface.methods.base import Method, Setting
from evenface.models.classifier import Classifier, build_classifier
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig, load_config
from evenface.training.data import of_left_out
from evenface.training.folder import hold, require_new
from evenface.training.judge import Judge
from evenface.training.loop import Loop
from evenface.training.run import build_loop, fabric_for, normalisation, open_split, sayer, start
from evenface.training.same import check_same, check_settings


@dataclasses.dataclass(frozen=True)
class DistillResult:
    """What a finished distillation left: its folder, and the best epoch (from 1) with its score (0 to 1) on the faces held out."""

    folder: Path
    best_epoch: int
    best: float
    by: str
    seconds: float


def distill(config: TrainConfig, *, command: Sequence[str] = (), console: Console | None = None) -> DistillResult:
    """Teaches a new student; `make_config` makes the config.

    Args:
        command: the words it was started with, kept in the run folder.
        console: where progress is shown; None shows nothing.

    Raises:
        ConfigError: a setting that cannot work, or a run folder that exists.
        DataError, DeviceError, ModelError, MissingExtra: what the settings name is missing or does not fit.
        TrainingError: interrupted (the state is saved), or a loss that is not finite.
        StorageError: a full disk, or a run folder that cannot be written.
    """
    require_new(config.folder)
    return _run(with_whole_paths(config), None, command, console)


def resume(folder: str | os.PathLike[str], *, command: Sequence[str] = (), console: Console | None = None) -> DistillResult:
    """Goes on with a distillation, to the same final weights as if it had never stopped; a finished one stays as it is.

    Raises:
        ConfigError: no run folder, that of a training, or a setting in its config.yaml that is not the one it began with.
        ModelError: no state, a damaged one, one of other data, or another teacher than it began with.
        TrainingError: as `distill`, or another process is at it in the folder.
    """
    path = Path(folder)
    config = dataclasses.replace(load_config(path / "config.yaml"), output=str(path))
    options = options_of(config)
    with hold(path):
        saved = load_state(path / "last.ckpt")
        check_settings(saved, config)
        done = saved["state"]
        if done["epoch"] >= config.epochs:
            sayer(console)(f"finished  all {config.epochs} epochs of {path} were done before; nothing to go on with")
            return DistillResult(path, done["best_epoch"] + 1, done["best"], options.judged_by, done["seconds"])
        return _run(config, saved, command, console)


def _run(config: TrainConfig, saved: dict[str, Any] | None, command: Sequence[str], console: Console | None) -> DistillResult:
    with contextlib.ExitStack() as stack:
        loop = assemble(config, saved=saved, command=command, console=console, stack=stack)
        state = loop.fit()
        if loop.rank == 0:
            loop.folder.renew_card(state.seconds / 60)
    return DistillResult(loop.folder.path, state.best_epoch + 1, state.best, options_of(config).judged_by, state.seconds)


def assemble(
    config: TrainConfig,
    *,
    saved: dict[str, Any] | None = None,
    command: Sequence[str] = (),
    console: Console | None = None,
    stack: contextlib.ExitStack | None = None,
) -> Loop:
    """Everything that a distillation needs, ready to `fit`; see `evenface.training.run.assemble`."""
    options = options_of(config)
    device = resolve_device(config.device)
    precision, reason = resolve_precision(config.precision, device)
    fabric = fabric_for(device, precision, config.batch_size)
    say = sayer(console if fabric.is_global_zero else None)

    teacher = load_teacher(options).to(fabric.device)
    class_names = teacher.class_names if isinstance(teacher, ModelTeachers) else BASIC
    manifest = read_faces(config, options, class_names)
    if isinstance(teacher, ModelTeachers):
        teacher.look_at(manifest.alignment)
    train, held_out = (open_split(manifest, name, config, fabric.device, say) for name in ("train", "validation"))

    torch.manual_seed(config.seed)
    model = build_classifier(config.model, class_names, config.img_size, dropout=config.dropout)
    init = start(model, config, goes_on=saved is not None)
    setting = Setting(class_names, tuple(train.manifest.counts().values()), config.epochs, batch_size=config.batch_size)
    method: Method
    judge: Judge
    if isinstance(teacher, FaceTeacher):
        method = learner = LearnDescriptors(options, setting, teacher)
        if saved is None:  # else they come with the state
            learner.centre(train, fabric.device, precision)
        judge = ByDescriptors(held_out, learner, fabric.device, precision)
    else:
        method = LearnAnswers(options, setting, teacher)
        judge = ByAnswers(held_out, method, fabric.device, precision)
    network = cast(Classifier, method.prepare(model))
    folder = DistillFolder(config, manifest, train.manifest, init, teacher)
    sources = [source.to_dict() for source in teacher.sources]
    if saved is not None:
        check_same(saved, folder, manifest)
        _check_teacher(folder.path, sources)
    elif fabric.is_global_zero:
        environment = {"device": str(device), "precision": precision, "precision_reason": reason, "processes": fabric.world_size}
        notes = [*manifest.notes, "No label of these faces was learned from."]
        if isinstance(teacher, ModelTeachers):
            notes.append("The training faces per class are those of its teachers.")
        folder.create(command, {**environment, **normalisation(model), "teachers": sources, "faces": len(train), "notes": notes}, stack)
    say(f"faces     {manifest.name}: {len(train):,} to learn from, {len(held_out):,} held out, at {config.img_size} px; no label is used")
    for note in of_left_out(manifest.notes):
        say(f"          {note}")
    if options.all_splits:
        say("          The test faces are among them: no score on them is fair to compare after that.")
    say(f"teacher   {', '.join(f'{source.name} (sha256 {source.sha256[:12]})' for source in teacher.sources)}, at {_sizes(teacher)} px")
    for look in teacher.looks if isinstance(teacher, ModelTeachers) else ():
        say(f"          It sees them {look}, like the faces that it learned from.")
    known = teacher.alignments if isinstance(teacher, ModelTeachers) else ()
    if any(None not in (each, manifest.alignment) and each != manifest.alignment for each in known):
        say("          It knows faces that are cut out in another way than these; expect less of its answers.")
    say(f"student   {config.model}; {init['summary']}")
    if options.weight_of_maps > 0 and model.backbone.grid == (1, 1):
        say("          Its map has a single cell at this size, so comparing maps does little; take a larger --img-size.")
    say(f"device    {device}, {precision} ({reason})" + (f", {fabric.world_size} processes" if fabric.world_size > 1 else ""))
    say(f"folder    {folder.path}")
    mean = tuple(float(v) for v in model.mean.flatten())
    return build_loop(
        config, fabric, network, method, judge, train, None, mean, folder, precision, saved=saved, console=console, stack=stack
    )


def load_teacher(options: DistillOptions) -> Teacher:
    """The teacher that the options name.

    Raises:
        ConfigError, ModelError, MissingExtra: it is unknown, broken or not installed.
    """
    if options.of_faces:
        return FaceTeacher(options.teacher_size or FACE_SIZE)
    return ModelTeachers(options.teacher, options.teacher_size)


def _sizes(teacher: Teacher) -> str:
    sizes = (teacher.size,) if isinstance(teacher, FaceTeacher) else teacher.sizes
    return ", ".join(str(size) for size in dict.fromkeys(sizes))


def _check_teacher(folder: Path, sources: list[dict[str, str]]) -> None:
    file = folder / "environment.json"
    try:
        before = json.loads(file.read_text(encoding="utf-8"))["teachers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} no longer says what taught this student; put it back to go on.") from error
    if [entry["sha256"] for entry in before] != [entry["sha256"] for entry in sources]:
        raise ModelError(f"The teacher is not the one that {folder} began with; put that back, or start anew.")
