"""Find faces and tell their expressions: photos, folders, films, a webcam.

  evenface predict photo.jpg
  evenface predict photos/ -o faces.csv --draw annotated/
  evenface predict interview.mp4 --every 5 -o interview.parquet --draw annotated/
  evenface predict webcam --format jsonl
  evenface predict photo.jpg --model model.onnx --detector yunet             (an exported file, without torch)
  evenface predict /archive --engine ray -j 64 -o faces/        (a folder of Parquet shards; goes on where it was stopped)

A picture without a face is a result like any other. A file that cannot be read is reported, and the rest goes on.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenface.wording import counted


if TYPE_CHECKING:
    from evenface.predict.inputs import Inputs
    from evenface.predict.run import Summary

NAMED = 10  # failed files that are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="picture, folder, pattern, film, webcam or the number of a camera")

    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="M",
        help="a shipped model's name, a model folder, a run or an exported file (default: the one that ships)",
    )
    model.add_argument(
        "--runtime",
        default="auto",
        choices=["auto", "torch", "onnx", "openvino"],
        help="what computes the model; auto: an exported file where there is one and no GPU, else torch (default: auto)",
    )
    model.add_argument(
        "--prior",
        default="model",
        metavar="P",
        help="how frequent the classes are, which the scores assume: model (its own decision), train, half, balanced, or "
        "fear=0.2,anger=0.1,... (default: model)",
    )
    model.add_argument("--tta", default="none", choices=["none", "flip"], help="flip: average each face with its mirror (default: none)")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    model.add_argument("--precision", default="fp32", choices=["auto", "fp32", "bf16"], help="default: fp32")

    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--detector", default="mtcnn", metavar="D", help="mtcnn, yunet, yunet:PATH, or none for faces that are cropped already"
    )
    faces.add_argument("--min-face", type=int, default=40, metavar="PX", help="smallest face; larger is faster (default: 40)")
    faces.add_argument("--min-score", type=float, metavar="X", help="leave out faces that the detector is less sure of, 0 to 1")
    faces.add_argument("--max-faces", type=int, metavar="N", help="only the N largest faces of a picture")

    films = parser.add_argument_group("films and cameras")
    films.add_argument("--every", type=int, default=1, metavar="N", help="look at each N-th frame (default: 1)")
    films.add_argument(
        "--smoothing", type=float, default=0.3, metavar="S", help="average a person's scores over S seconds; 0: not (default: 0.3)"
    )

    out = parser.add_argument_group("output")
    out.add_argument("--format", choices=["text", "json", "jsonl", "csv", "parquet"], help="default: by the suffix of -o, else text")
    out.add_argument("-o", "--output", metavar="FILE", help="where results go; - is standard output (the default)")
    out.add_argument("--top-k", type=int, metavar="K", help="only the K highest scores of a face")
    out.add_argument("--draw", type=Path, metavar="DIR", help="folder for annotated copies: boxes, labels and a bar per class")
    out.add_argument("--faces", type=Path, metavar="DIR", help="folder for the faces as the network sees them")
    out.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")

    scale = parser.add_argument_group("scale")
    scale.add_argument(
        "--engine", default="local", choices=["local", "ray"], help="ray: spread shards over a Ray cluster; -o is then a folder"
    )
    scale.add_argument("--shard-size", type=int, default=500, metavar="N", help="pictures in a Parquet shard (default: 500)")
    scale.add_argument(
        "-j", "--workers", type=int, metavar="N", help="threads that decode (default: one per core, at most 8); with ray, processes"
    )


def run(args: argparse.Namespace) -> int:
    from PIL import Image

    from evenface.errors import ConfigError
    from evenface.predict.inputs import find_inputs

    _check(args)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large photo is one like others
    if args.workers is None:  # each decodes a picture ahead, and a hundred of 40 megapixels would not fit into memory
        args.workers = (os.cpu_count() or 1) if args.engine == "ray" else min(8, os.cpu_count() or 1)
    inputs = find_inputs(args.inputs, results=(args.draw, args.faces))
    if not args.quiet:
        for folder in inputs.left_out:
            print(f"left out  {folder}: results go there", file=sys.stderr)
    settings = {
        "name": args.model,
        "runtime": args.runtime,
        "device": args.device,
        "precision": args.precision,
        "detector": args.detector,
        "min_face": args.min_face,
        "min_score": args.min_score,
        "max_faces": args.max_faces,
        "prior": args.prior,
        "tta": args.tta,
    }
    output = None if args.output in (None, "-") else Path(args.output)
    named = output is not None and args.output.endswith(("/", os.sep))  # a folder, which holds shards whatever the format
    sharded = named or (output is not None and args.format in (None, "parquet") and output.is_dir())
    if args.engine == "ray" and output is None:
        raise ConfigError("--engine ray writes Parquet shards; name their folder with -o/--output.")
    if sharded or args.engine == "ray":
        assert output is not None, "checked above"
        return _run_shards(args, inputs, settings, output)
    return _run(args, inputs, settings, output)


def _check(args: argparse.Namespace) -> None:
    from evenface.errors import ConfigError

    for name, value in (("--every", args.every), ("--top-k", args.top_k), ("--workers", args.workers), ("--shard-size", args.shard_size)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}.")
    if not 0 <= args.smoothing < math.inf:
        raise ConfigError(f"--smoothing is a time in seconds, not {args.smoothing:g}.")
    for name, folder in (("--draw", args.draw), ("--faces", args.faces)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; {name} names a folder.")


def _run(args: argparse.Namespace, inputs: Inputs, settings: dict[str, Any], output: Path | None) -> int:
    from evenface.cli.progress import Watch
    from evenface.errors import EvenfaceError
    from evenface.predict.run import Summary, predict_inputs, require_apart
    from evenface.predict.writers import open_writer
    from evenface.recognizer import Recognizer

    require_apart(inputs, args.draw, output, args.faces)
    recognizer = Recognizer.from_pretrained(**settings)
    done = Summary()
    writer = open_writer(output, args.format, recognizer.class_names, top_k=args.top_k, single=inputs.single)
    try:
        with writer, Watch(quiet=args.quiet or (output is None and sys.stdout.isatty())) as watch:
            predict_inputs(
                recognizer,
                inputs,
                writer,
                draw=args.draw,
                faces=args.faces,
                every=args.every,
                smoothing=args.smoothing,
                workers=args.workers,
                summary=done,
                listener=watch,
            )
    except KeyboardInterrupt:
        kept = f"; what was done is in {writer.partial}" if writer.partial is not None else ""
        print(f"evenface predict: stopped after {_counted(done)}{kept}.", file=sys.stderr)
        return 1
    except EvenfaceError:
        if writer.partial is not None:
            print(f"evenface predict: {_counted(done)} done before; that is in {writer.partial}.", file=sys.stderr)
        raise
    finally:
        _say_failed(done)
    if not args.quiet and writer.written:
        print(f"written   {output}: {_counted(done)}, {counted(done.faces, 'face')}", file=sys.stderr)
    return 1 if done.failed else 0


def _run_shards(args: argparse.Namespace, inputs: Inputs, settings: dict[str, Any], output: Path) -> int:
    from evenface.cli.progress import Watch
    from evenface.errors import ConfigError, TrainingError
    from evenface.predict.shards import ShardSettings, predict_shards

    if args.draw is not None or args.faces is not None or args.top_k is not None or args.format not in (None, "parquet"):
        raise ConfigError("A folder of shards holds Parquet only; leave --draw, --faces, --top-k and --format out, or give -o a file.")
    shards = ShardSettings(settings, args.every, args.smoothing, args.shard_size)
    try:
        with Watch(quiet=args.quiet) as watch:
            watch.begin("shards", 1)
            done = predict_shards(inputs, output, shards, engine=args.engine, workers=args.workers, progress=watch.parts)
    except KeyboardInterrupt:
        raise TrainingError(f"Stopped; what is finished stays in {output}, and the same command goes on from there.") from None
    _say_failed(done)
    if not args.quiet:
        print(f"written   {output}/part-*.parquet: {_counted(done)}, {counted(done.faces, 'face')}", file=sys.stderr)
    return 1 if done.failed else 0


def _counted(done: Summary) -> str:
    pictures = [counted(done.pictures, "picture")] * bool(done.pictures or not done.frames)
    return " and ".join(pictures + [counted(done.frames, "frame")] * bool(done.frames))


def _say_failed(done: Summary) -> None:
    for path, reason in done.failed[:NAMED]:
        print(f"evenface predict: {reason if str(path) in reason else f'{path}: {reason}'}", file=sys.stderr)
    if len(done.failed) > NAMED:
        print(f"evenface predict: {counted(len(done.failed) - NAMED, 'more file')} could not be read or copied.", file=sys.stderr)
