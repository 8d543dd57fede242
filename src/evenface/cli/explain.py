"""Show what a model looks at: heat maps of faces and of their mirrors, and numbers that say how far to trust them.

  evenface explain MODEL photo.jpg                        (MODEL: a run, a model folder, or the name of a model that ships)
  evenface explain runs/x                                 (a face of each class of the run's validation split)
  evenface explain runs/x --ids fer0028638,fer0028642 --method layer-cam --layer earlier
  evenface explain runs/x --check 200                     (do the maps show what the model goes by?)
  evenface explain runs/x --consistency                   (do the maps of a face and of its mirror agree?)
  evenface explain runs/x --epochs                        (how the maps moved in training; the run was trained with --watch)

Into the folder -o go a picture per face, sheets of faces, faces.csv and maps.npz.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from evenface.data.manifest import Manifest
    from evenface.explain.run import How, Model, Photos
    from evenface.faces.alignment import Alignment

METHODS = ("class-map", "grad-cam", "grad-cam++", "layer-cam")
CHECKED = 200  # faces of a check
_FOLDER = Path("explained")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run, a model folder, or the name of a model that ships")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="pictures, folders, patterns (default: faces of a data set)")

    maps = parser.add_argument_group("maps")
    maps.add_argument(
        "--method", choices=METHODS, help="default: class-map, the model's own; the others need its gradients; with --check: all of them"
    )
    maps.add_argument(
        "--layer", default="last", choices=["last", "earlier"], help="earlier: before the last stage, a finer grid (default: last)"
    )
    maps.add_argument("--classes", metavar="C,C", help="draw these beside the face's own class (default: all)")

    faces = parser.add_argument_group("faces of a data set")
    faces.add_argument("--dataset", help="default: the run's")
    faces.add_argument("--data-dir", help="where it lies (default: the run's)")
    faces.add_argument("--split", choices=["train", "validation", "test"], help="default: validation")
    faces.add_argument("--ids", metavar="ID,ID", help="these faces")
    faces.add_argument("--per-class", type=int, metavar="N", help="faces drawn of each class, where no --ids are given (default: 1)")
    faces.add_argument("--seed", type=int, metavar="N", help="seed of that draw (default: 0)")

    photos = parser.add_argument_group("photos")
    photos.add_argument(
        "--detector", default="mtcnn", metavar="D", help="mtcnn, yunet, yunet:PATH, or none for faces that are cropped already"
    )

    asked = parser.add_argument_group("numbers, in place of pictures of faces")
    only = asked.add_mutually_exclusive_group()
    only.add_argument(
        "--check",
        type=int,
        nargs="?",
        const=True,
        metavar="N",
        help=f"insertion and deletion of every method over N faces of the split drawn by the seed (default: {CHECKED}), "
        "or, without a number, over all faces of the photos",
    )
    only.add_argument("--consistency", action="store_true", help="how well the class maps of faces and mirrors agree, over the whole split")
    only.add_argument("--epochs", action="store_true", help="how the class maps moved in training, of the faces that the run watched")

    out = parser.add_argument_group("output")
    out.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for what is made, in place of what an earlier call made there (default: explained)",
    )
    out.add_argument("--svg", action="store_true", help="write each figure as SVG too")
    out.add_argument("--format", choices=["text", "json"], help="of --check and --consistency (default: text)")
    out.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary")
    out.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    out.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads that decode images")


def run(args: argparse.Namespace) -> int:
    _check(args)
    from evenface.explain.cam import check
    from evenface.explain.run import How, open_model, require_cells

    model = open_model(args.model, device=args.device, detector=args.detector)
    if args.epochs:
        return _epochs(args, model)
    how = How(args.method or "class-map", args.layer, _list(args.classes))
    if not args.consistency and (args.check is None or args.method is not None):
        check(model.network, how.method, how.classes, how.layer)
    require_cells(model, "last" if args.consistency else how.layer)
    if args.consistency:
        return _consistency(args, model)
    return _check_methods(args, model) if args.check is not None else _pictures(args, model, how)


def _check(args: argparse.Namespace) -> None:
    from evenface.errors import ConfigError

    if args.check is True:  # without a number
        args.check = CHECKED
    elif args.check is not None and args.inputs:
        raise ConfigError("--check looks at all faces of the photos; leave out its number.")
    for name, value, low in (("--per-class", args.per_class, 1), ("--check", args.check, 2), ("-j/--workers", args.workers, 1)):
        if value is not None and value < low:
            raise ConfigError(f"{name} must be at least {low}, not {value}.")
    if args.seed is not None and args.seed < 0:
        raise ConfigError(f"--seed must be at least 0, not {args.seed}.")
    _refuse_without_effect(args)
    of_data = (args.dataset, args.data_dir, args.split, args.ids, args.per_class, args.consistency, args.epochs)
    if args.inputs and any(of_data):
        raise ConfigError("Photos and the faces of a data set are two things; leave out the INPUTs, or the flags about a data set or run.")
    if args.ids is not None and not _list(args.ids):
        raise ConfigError("--ids names faces by their ids, with commas between.")
    args.per_class, args.seed, args.split = args.per_class or 1, args.seed or 0, args.split or "validation"
    if args.consistency or args.epochs:
        which = "--consistency" if args.consistency else "--epochs"
        for name, given in (("--method", args.method), ("--layer", args.layer != "last"), ("--classes", args.classes)):
            if given:
                raise ConfigError(f"{which} is of the class maps of the last layer, each of all classes; leave out {name}.")
    if args.check is not None and args.classes:
        raise ConfigError("--check follows the class that the model chooses for each face; leave out --classes.")
    if args.output is not None and args.output.exists() and not args.output.is_dir():
        raise ConfigError(f"{args.output} is a file; -o/--output names a folder.")


def _refuse_without_effect(args: argparse.Namespace) -> None:
    """What the faces are, or what is made of them, is said by the kind of work or its INPUTs, and these flags do not change it."""
    from evenface.errors import ConfigError

    pictures = args.check is None and not args.consistency
    kinds = (
        ("--check", args.check is not None, "draws its faces by --seed", ("ids", "per_class", "svg")),
        ("--consistency", args.consistency, "is of the whole split", ("ids", "per_class", "seed", "svg")),
        ("--epochs", args.epochs, "is of the faces that the run watched", ("dataset", "split", "per_class", "seed")),
        ("--ids", args.ids is not None, "names the faces", ("per_class", "seed")),
        ("A photo", args.inputs and pictures, "is not drawn by a seed", ("seed",)),
        ("A picture", pictures, "is neither text nor JSON", ("format",)),
    )
    for which, wanted, what, flags in kinds:
        for name in flags if wanted else ():
            if (value := getattr(args, name)) is not None and value is not False:
                raise ConfigError(f"{which} {what}; leave out --{name.replace('_', '-')}.")


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def _photos(args: argparse.Namespace, photos: Photos) -> list[Path]:
    """The photos; the folders that cannot be searched for some are added to those that failed."""
    from evenface.errors import ConfigError
    from evenface.predict.inputs import find_inputs

    inputs = find_inputs(args.inputs, results=[args.output or _FOLDER])
    if not args.quiet:
        for folder in inputs.left_out:
            print(f"left out  {folder}: results go there", file=sys.stderr)
    if inputs.films or inputs.cameras:
        raise ConfigError("Pictures can be explained, not films and cameras; take single frames out of a film.")
    photos.failed += inputs.unreadable
    return list(inputs.pictures)


def _part(args: argparse.Namespace, model: Model) -> tuple[Manifest, Alignment | None]:
    from evenface.explain.run import part_of

    return part_of(model, args.split, args.dataset, args.data_dir)


def _pictures(args: argparse.Namespace, model: Model, how: How) -> int:
    from evenface.cli.progress import Watch
    from evenface.data.choice import named, per_class
    from evenface.explain.run import Photos, cuts_of, cuts_of_photos, explained, require_own_place, store_of, write_folder

    folder, photos = args.output or _FOLDER, Photos()
    paths = _photos(args, photos) if args.inputs else []
    require_own_place(folder, paths)
    with Watch(quiet=args.quiet) as watch:
        if paths:
            watch.begin("photos", len(paths))
            cuts: Any = cuts_of_photos(model, paths, photos, args.workers)
        else:
            part, look = _part(args, model)
            ids = _list(args.ids)
            rows = per_class(part, args.per_class, args.seed) if ids is None else named(part, list(ids))
            cuts = cuts_of(store_of(model, part.take(rows), look, args.workers))
            watch.begin("faces", len(cuts))
        reach = (lambda done: watch.reach(photos.looked)) if paths else watch.reach
        files = write_folder(folder, explained(model, cuts, how), svg=args.svg, progress=reach)
    _tell_of(photos)
    if not args.quiet and files:
        print(f"written   {folder}/face-*.png\n" + "\n".join(f"          {file}" for file in files), file=sys.stderr)
    return 1 if photos.failed or (paths and not files) else 0


def _tell_of(photos: Photos) -> None:
    """A line for each photo that could not be read, or shows no face."""
    for path, reason in photos.failed:
        print(f"evenface explain: {reason if str(path) in reason else f'{path}: {reason}'}", file=sys.stderr)
    for path in photos.empty:
        print(f"evenface explain: no face was found in {path}; for a face that is cut out already: --detector none", file=sys.stderr)


def _epochs(args: argparse.Namespace, model: Model) -> int:
    from evenface.explain.run import write_epochs

    file, n = write_epochs(args.output or _FOLDER, model, _list(args.ids), args.data_dir, args.workers, args.svg)
    if not args.quiet:
        print(f"written   {file}: {n} faces", file=sys.stderr)
    return 0


def _check_methods(args: argparse.Namespace, model: Model) -> int:
    import numpy as np

    from evenface.cli.progress import Watch
    from evenface.data.choice import at_random
    from evenface.errors import ConfigError, DataError
    from evenface.explain.cam import supported
    from evenface.explain.faithfulness import check_methods
    from evenface.explain.run import Photos, cuts_of, cuts_of_photos, store_of
    from evenface.files import printable

    network = model.network
    methods = supported(network, args.layer) if args.method is None else (args.method,)
    if not methods:
        raise ConfigError(f"This network ('{network.kind}') has class maps only, which are of the last layer; leave out --layer earlier.")
    where: dict[str, Any] = {"photos": [printable(word) for word in args.inputs]}
    photos = Photos()
    with Watch(quiet=args.quiet) as watch:
        if args.inputs:
            cuts = list(cuts_of_photos(model, _photos(args, photos), photos, args.workers))
            if not cuts:
                raise DataError("No face was found in the pictures; for faces that are cut out already: --detector none.")
            _tell_of(photos)
        else:
            part, look = _part(args, model)
            cuts = cuts_of(store_of(model, part.take(at_random(part, args.check, args.seed)), look, args.workers))
            where = {"dataset": part.name, "split": args.split, "seed": args.seed}
        watch.begin("faces", 1)
        faces = np.stack([cut.crop for cut in cuts])
        found = check_methods(network, model.recognizer.scores, faces, methods, layer=args.layer, seed=args.seed, progress=watch.parts)
    from evenface.explain.tables import check_table
    from evenface.wording import counted

    whose = f"{where['dataset']} {args.split}, seed {args.seed}" if "dataset" in where else "the photos"
    _tell(
        args,
        check_table(found, f"{counted(found.n, 'face')} of {whose}"),
        {"model": args.model, **where, "layer": args.layer, "check": found.to_dict()},
    )
    return 1 if photos.failed else 0


def _consistency(args: argparse.Namespace, model: Model) -> int:
    from evenface.cli.progress import Watch
    from evenface.explain.consistency import mirror_consistency
    from evenface.explain.run import store_of
    from evenface.explain.tables import consistency_table

    part, look = _part(args, model)
    with Watch(quiet=args.quiet) as watch:
        watch.begin("faces", len(part))
        found = mirror_consistency(model.recognizer, store_of(model, part, look, args.workers), progress=watch.parts, seed=args.seed)
    values = {"model": args.model, "dataset": part.name, "split": args.split, "consistency": found.to_dict()}
    return _tell(args, consistency_table(found, f"{found.all.n:,} faces of {part.name} {args.split}"), values)


def _tell(args: argparse.Namespace, table: Any, values: dict[str, Any]) -> int:
    """Prints the numbers, and writes them into the folder where one is named."""
    from evenface.cli.output import console
    from evenface.files import write_text

    text = json.dumps(values, indent=1, ensure_ascii=False)
    if args.format == "json":
        print(text)
    else:
        console().print(table)
    if args.output is not None:
        file = args.output / ("consistency.json" if args.consistency else "check.json")
        write_text(file, text + "\n")
        if not args.quiet:
            print(f"written   {file}", file=sys.stderr)
    return 0
