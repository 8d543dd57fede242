"""Folders that take hours: the work is cut into shards, each of which becomes a Parquet file; here, or on a Ray cluster.

    report = predict_shards(find_inputs(["photos/"]), Path("faces"), settings, engine="ray", workers=8)

    faces/predict.json          what was asked for, of which model, and for which files
    faces/part-00000.parquet    a row per face, as `--format parquet` writes it
    faces/part-00000.json       how many pictures and faces, and the files that failed
    faces/failed.csv            all files that failed, at the end

A shard that is there is not done again, so an interrupted run goes on with the same command. A worker of the cluster that dies is
replaced and its shard done again; all machines must see the pictures and the folder under the same paths.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from evenface import zoo
from evenface._version import __version__
from evenface.errors import ConfigError, DeviceError, EvenfaceError, MissingExtra
from evenface.files import printable, write_text
from evenface.model_folder import CONFIG, WEIGHTS, standing
from evenface.predict.inputs import Inputs
from evenface.predict.run import Summary, predict_inputs
from evenface.predict.writers import Writer
from evenface.recognizer import SMOOTHING, Recognizer
from evenface.runtimes import ONNX, XML
from evenface.video.reading import is_video


ENGINES = ("local", "ray")
SHARD_SIZE = 500  # pictures: a few minutes of work


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """A part of the work: some pictures, or one film."""

    number: int
    paths: tuple[str, ...]

    def table(self, out: Path) -> Path:
        return out / f"part-{self.number:05d}.parquet"

    def report(self, out: Path) -> Path:
        return out / f"part-{self.number:05d}.json"

    def is_done(self, out: Path) -> bool:
        """Whether table and report are there, and whole as far as their ends tell."""
        import pyarrow.parquet as pq

        try:
            pq.read_metadata(self.table(out))
            json.loads(self.report(out).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # pyarrow's and json's errors are ValueErrors
            return False
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class ShardSettings:
    """What is done to every shard.

    Attributes:
        recognizer: the keyword arguments of `Recognizer.from_pretrained`; they decide what comes out.
        every, smoothing: of films; see `Recognizer.video`.
        size: pictures in a shard.
    """

    recognizer: Mapping[str, Any]
    every: int = 1
    smoothing: float = SMOOTHING
    size: int = SHARD_SIZE


def plan_shards(inputs: Inputs, size: int) -> list[Shard]:
    """The pictures in groups of `size`, then each film by itself.

    Raises:
        ConfigError: a camera, which has no end, or a size below 1.
    """
    if inputs.cameras:
        raise ConfigError("A camera has no end, so it cannot be cut into shards; give -o/--output a file.")
    if size < 1:
        raise ConfigError(f"--shard-size is at least 1, not {size}.")
    pictures, films = ([os.path.abspath(path) for path in paths] for paths in (inputs.pictures, inputs.films))
    groups = [tuple(pictures[i : i + size]) for i in range(0, len(pictures), size)] + [(path,) for path in films]
    return [Shard(number, group) for number, group in enumerate(groups)]


def predict_shards(
    inputs: Inputs,
    out: Path,
    settings: ShardSettings,
    *,
    engine: str = "local",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Does the shards that are not there yet.

    Args:
        engine: "local" one after the other in this process, with `workers` threads that decode; "ray" on the cluster of the environment
            variable RAY_ADDRESS, or on one that is started on this machine, with `workers` processes.
        progress: called with (shards done, all).

    Raises:
        ConfigError: `out` belongs to other inputs, settings or weights, or is a file.
        MissingExtra: Ray is not installed.
        EvenfaceError: what the recognizer's settings raise.
    """
    if engine not in ENGINES:
        raise ConfigError(f"--engine is one of {', '.join(ENGINES)}, not '{engine}'.")
    shards = plan_shards(inputs, settings.size)
    about = _about(shards, settings)
    begun = _is_begun(out, about)
    todo = [shard for shard in shards if not shard.is_done(out)]
    # a setting that cannot work is told here, in one line, before the folder is claimed and not by every worker
    recognizer = Recognizer.from_pretrained(**settings.recognizer) if todo else None
    if not begun:
        write_text(out / "predict.json", json.dumps(about, indent=1, ensure_ascii=False))
    for part in out.glob("part-*.partial.parquet"):  # of an earlier evenface
        part.unlink()
    if progress is not None:
        progress(len(shards) - len(todo), len(shards))
    if recognizer is not None:
        work = _on_ray(todo, out, settings, workers) if engine == "ray" else _here(recognizer, todo, out, settings, workers)
        for count, _ in enumerate(work, 1):
            if progress is not None:
                progress(len(shards) - len(todo) + count, len(shards))
    return _gather(shards, out, inputs)


def predict_shard(recognizer: Recognizer, shard: Shard, out: Path, settings: ShardSettings, workers: int = 1) -> None:
    """One shard to its file; its report is written first, so that a file under its final name is whole and has one."""
    paths = [Path(path) for path in shard.paths]
    films = tuple(path for path in paths if is_video(path))
    part = Inputs(tuple(path for path in paths if path not in films), films, (), Path(os.path.commonpath(paths)).parent, False)
    with Writer(shard.table(out), "parquet", recognizer.class_names, keep_partial=False) as writer:
        done = predict_inputs(recognizer, part, writer, every=settings.every, smoothing=settings.smoothing, workers=workers)
        report = dataclasses.asdict(done) | {"failed": [[printable(path), printable(reason)] for path, reason in done.failed]}
        write_text(shard.report(out), json.dumps(report, ensure_ascii=False))


def _about(shards: Sequence[Shard], settings: ShardSettings) -> dict[str, Any]:
    """What a folder of shards is for."""
    files = hashlib.blake2b(os.fsencode("\n".join(path for shard in shards for path in shard.paths)), digest_size=8).hexdigest()
    about = json.loads(json.dumps({**dataclasses.asdict(settings), "files": sum(len(s.paths) for s in shards), "names": files}))
    about["recognizer"].pop("device", None)  # where it is computed changes nothing
    return {**about, "sha256": _hash_of_model(settings.recognizer.get("name")), "evenface": __version__}


def _hash_of_model(name: str | os.PathLike[str] | None) -> str:
    """Of what decides a model's answers: its weights and config, or the exported file, which holds both.

    Raises:
        ModelError: no such model.
    """
    path = Path(name) if name is not None else Path(zoo.default_model())
    if path.suffix in (".onnx", ".xml") and path.is_file():
        files = [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
    else:
        # an exported file beside the weights may be what computes
        files = [standing(zoo.model_path(path)) / each for each in (WEIGHTS, CONFIG, ONNX, XML, Path(XML).with_suffix(".bin"))]
    return hashlib.sha256("".join(zoo.sha256_of(each) for each in files if each.is_file()).encode()).hexdigest()


def _is_begun(out: Path, about: Mapping[str, Any]) -> bool:
    """Whether the folder is for just this already.

    Raises:
        ConfigError: it is for something else, or a file.
    """
    claim = out / "predict.json"
    if out.is_file():
        raise ConfigError(f"{out} is a file; -o/--output names the folder for the shards.")
    if claim.is_file():
        try:
            former = json.loads(claim.read_text(encoding="utf-8"))
            before = _flags({"sha256": about["sha256"], **former})  # an earlier evenface did not say the hash
        except (OSError, ValueError, TypeError, AttributeError):
            raise ConfigError(f"{claim} is damaged, so nobody knows what {out} is for; choose another -o/--output, or remove it.") from None
        now = _flags(about)
        differ = [key for key in now if before.get(key) != now[key]]
        if differ:
            raise ConfigError(f"{out} was begun with other {', '.join(differ)}; choose another -o/--output, or remove it.")
        return True
    if out.is_dir() and any(not fnmatch(each.name, ".*.part") for each in out.iterdir()):  # such are of a call that was killed
        raise ConfigError(f"{out} holds something else; choose a new -o/--output.")
    return False


def _flags(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder is for, by the flags that a person types."""
    named = about.get("recognizer", {}).items()
    model = {f"--{'model' if name == 'name' else name.replace('_', '-')}": value for name, value in named}
    own = {"--every": "every", "--smoothing": "smoothing", "--shard-size": "size"}
    model["--model"] = (model.get("--model"), about.get("sha256"))
    return {"files": (about.get("files"), about.get("names")), **{flag: about.get(name) for flag, name in own.items()}, **model}


def _here(recognizer: Recognizer, shards: Sequence[Shard], out: Path, settings: ShardSettings, workers: int) -> Iterator[None]:
    for shard in shards:
        predict_shard(recognizer, shard, out, settings, workers)
        yield


class _Worker:
    """An actor of the cluster: loads the model once, then does one shard after the other."""

    def __init__(self, out: str, settings: ShardSettings) -> None:
        self._out = Path(out)
        self._settings = settings
        self._recognizer = Recognizer.from_pretrained(**settings.recognizer)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard = Shard(int(row["number"]), tuple(row["paths"]))
        if not shard.is_done(self._out):  # a shard may come again when a worker died just after it was done
            predict_shard(self._recognizer, shard, self._out, self._settings)
        return {"number": shard.number}


def _on_ray(shards: Sequence[Shard], out: Path, settings: ShardSettings, workers: int) -> Iterator[None]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--engine ray", "ray") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    for name in ("ray.data", "ray.data._internal.progress", "ray.data._internal.execution.streaming_executor"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    device = str(settings.recognizer.get("device", "auto"))
    gpu, workers = share_gpus(device, workers, int(ray.cluster_resources().get("GPU", 0)))
    if gpu:
        settings = dataclasses.replace(settings, recognizer={**settings.recognizer, "device": "cuda"})
    rows = [{"number": shard.number, "paths": list(shard.paths)} for shard in shards]
    data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Worker,
        fn_constructor_kwargs={"out": str(out.resolve()), "settings": _from_anywhere(settings)},
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        num_cpus=1,
        num_gpus=1 if gpu else 0,
    )
    try:
        for _ in data.iter_batches(batch_size=1):
            yield
    except ray.exceptions.RayError as error:
        cause = next((c for c in _causes(error) if isinstance(c, EvenfaceError)), None)
        raise cause or EvenfaceError(f"The cluster failed ({str(error).splitlines()[0]}); run the same command again to go on.") from error


def share_gpus(device: str, workers: int, gpus: int) -> tuple[bool, int]:
    """Whether each worker gets one of the cluster's GPUs, for itself and as the only one that it sees, and how many workers there can be.

    Raises:
        DeviceError: a GPU is asked for, and there is none.
    """
    if not device.startswith("cuda"):  # `auto` takes none, for not every runtime could use it
        return False, workers
    if not gpus:
        raise DeviceError("The cluster has no GPU; leave --device out.")
    return True, min(workers, gpus)


def _from_anywhere(settings: ShardSettings) -> ShardSettings:
    """With whole paths of the model and of YuNet's file, for a worker starts in another folder."""
    given = dict(settings.recognizer)
    if given.get("name") is not None and Path(given["name"]).exists():
        given["name"] = str(Path(given["name"]).resolve())
    kind, colon, path = str(given.get("detector", "")).partition(":")
    if colon:
        given["detector"] = f"{kind}:{Path(path).resolve()}"
    return dataclasses.replace(settings, recognizer=given)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__


def _gather(shards: Sequence[Shard], out: Path, inputs: Inputs) -> Summary:
    """The reports of all shards as one, and failed.csv where files failed."""
    whole = Summary(failed=list(inputs.unreadable))
    for shard in shards:
        report = json.loads(shard.report(out).read_text(encoding="utf-8"))
        whole.failed += [(Path(path), reason) for path, reason in report["failed"]]
        for name in ("pictures", "frames", "faces", "empty"):
            setattr(whole, name, getattr(whole, name) + report[name])
    if whole.failed:
        text = io.StringIO()
        rows = ((printable(path), printable(reason)) for path, reason in whole.failed)
        csv.writer(text, lineterminator="\n").writerows([("source", "reason"), *rows])
        write_text(out / "failed.csv", text.getvalue())
    return whole
