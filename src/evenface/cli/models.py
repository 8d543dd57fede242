"""The models that can be had by name: what ships, what can be fetched, and what one of them is.

  evenface models list
  evenface models info yunet
  evenface models card runs/x --notes words.md
  evenface models pack runs/x my_model --licence "CC BY 4.0"
  evenface models download yunet
  evenface models download yunet --from face_detection_yunet_2023mar.onnx

`info` also takes the folder of a run or of a model. EVENFACE_OFFLINE=1 forbids the network; EVENFACE_MIRROR is an address to fetch from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", title="verbs", required=True)

    listed = verbs.add_parser("list", help="every name, with its kind, classes, size, licence and place", allow_abbrev=False)
    _add_format(listed)
    listed.set_defaults(run=run_list)

    info = verbs.add_parser("info", help="the model card of a classifier, or what a download is", allow_abbrev=False)
    info.add_argument("name", metavar="NAME", help="a name of the list, or the folder of a run or of a model")
    _add_format(info)
    info.set_defaults(run=run_info)

    card = verbs.add_parser(
        "card", help="the model card with all that is known by now; --write puts it into the folder", allow_abbrev=False
    )
    card.add_argument("name", metavar="RUN", help="a run folder, a model folder, or the name of a model that ships")
    card.add_argument("--write", action="store_true", help="write it into the model folder")
    card.add_argument(
        "--notes", type=Path, metavar="FILE", help="keep the words of this Markdown file in the card from now on, and write it"
    )
    card.set_defaults(run=run_card)

    packed = verbs.add_parser("pack", help="a model folder to give away, with half the bytes", allow_abbrev=False)
    packed.add_argument("name", metavar="RUN", help="a run folder or a model folder")
    packed.add_argument("out", metavar="FOLDER", help="the folder to make")
    packed.add_argument("--precision", choices=["fp16", "fp32"], default="fp16", help="of the weights in the file (default: fp16)")
    packed.add_argument("--licence", metavar="WORDS", help="of the weights; default: as the model says, if it does")
    packed.set_defaults(run=run_pack)

    download = verbs.add_parser("download", help="fetch a file into the cache, checked by its SHA-256", allow_abbrev=False)
    download.add_argument("name", metavar="NAME", nargs="?", help="a name of the list")
    download.add_argument("--all", action="store_true", help="every download")
    download.add_argument("--to", type=Path, metavar="DIR", help="another folder than the cache")
    download.add_argument("--from", type=Path, metavar="FILE", dest="source", help="take it from a file that came another way")
    download.set_defaults(run=run_download)


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")


def run(args: argparse.Namespace) -> int:
    return int(args.run(args))


def run_list(args: argparse.Namespace) -> int:
    from evenface import zoo
    from evenface.cli.output import console
    from evenface.report.grid import Grid

    models = [*map(_classifier, map(zoo.model_path, zoo.shipped())), *map(_download, zoo.DOWNLOADS)]
    if args.format == "json":
        print(json.dumps({"schema_version": 1, "models": models}, indent=1, ensure_ascii=False))
        return 0
    rows = []
    for about in models:
        classes = str(len(about["classes"])) if about["classes"] else "-"
        where = about["where"] or f"not here yet: evenface models download {about['name']}"
        rows.append((about["name"], about["kind"], classes, _megabytes(about["size"]), about["licence"] or "-", where))
    console().print(Grid("Models by name", ("name", "kind", "classes", "size", "licence", "where"), tuple(rows)))
    return 0


def run_info(args: argparse.Namespace) -> int:
    from evenface import zoo
    from evenface.errors import ConfigError, unknown_name

    if args.name in zoo.DOWNLOADS and not (Path(args.name) / "config.json").is_file():
        about = {**_download(args.name), **_details(args.name)}
        text = "\n".join(f"{key:<11}{_plain(value)}" for key, value in about.items() if value not in (None, []))
    else:
        known = [*zoo.shipped(), *zoo.DOWNLOADS]
        if args.name not in known and len(Path(args.name).parts) == 1 and not Path(args.name).exists():
            raise ConfigError(unknown_name("model", args.name, known))
        folder = zoo.model_path(args.name)
        about = {**_classifier(folder), "config": zoo.read_about(folder), "card": zoo.read_card(folder)}
        config = json.dumps(about["config"], indent=1, ensure_ascii=False)
        text = f"{about['card']}\n\nconfig.json\n{config}\n\nweights    {zoo.weights_file(folder)}\nsha256     {about['sha256']}".lstrip()
    print(json.dumps({"schema_version": 1, "model": about}, indent=1, ensure_ascii=False) if args.format == "json" else text)
    return 0


def run_card(args: argparse.Namespace) -> int:
    from evenface.runs.card import keep_notes, model_card, renew_card

    if args.notes is not None:
        print(f"notes     {keep_notes(args.name, args.notes)}")
    if args.write or args.notes is not None:
        print(f"written   {renew_card(args.name)}")
    else:
        print(model_card(args.name), end="")
    return 0


def run_pack(args: argparse.Namespace) -> int:
    from evenface import zoo
    from evenface.pack import pack

    folder = pack(args.name, args.out, args.precision, licence=args.licence)
    print(f"written   {folder} ({_megabytes(zoo.weights_file(folder).stat().st_size)})")
    return 0


def run_download(args: argparse.Namespace) -> int:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from evenface import zoo
    from evenface.cli.output import console
    from evenface.errors import ConfigError

    if bool(args.name) == args.all:
        raise ConfigError("Name one download, or give --all for every one; `evenface models list` shows them.")
    if args.all and args.source is not None:
        raise ConfigError("--from is the file of one download; name it in place of --all.")
    if args.name in zoo.shipped():
        print(f"{args.name} ships with evenface; there is nothing to fetch.")
        return 0
    if args.source is not None:
        print(f"written   {zoo.install(args.name, args.source, args.to)}")
        return 0
    out = console()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    for name in zoo.DOWNLOADS if args.all else [args.name]:
        with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
            task = bar.add_task(name, total=None)
            fetched: list[int] = []

            def show(done: int, total: int, bar: Progress = bar, task: Any = task, fetched: list[int] = fetched) -> None:
                fetched.append(done)
                bar.update(task, completed=done, total=total)

            path = zoo.download(name, args.to, show)
        print(f"{'written' if fetched else 'is there':<10}{path}")
    return 0


def _classifier(folder: Path) -> dict[str, Any]:
    """What the list says of a classifier that lies in `folder`."""
    from evenface import zoo

    config, weights = zoo.read_about(folder), zoo.weights_file(folder)
    names = config.get("class_names")
    return {
        "name": folder.name if folder.parent == zoo.PRETRAINED else str(folder),
        "kind": "backbone" if config.get("kind") == "backbone" else "classifier",  # a start that `distill` gave
        "what": f"{config.get('architecture')}, {config.get('img_size')} px",
        "classes": names if isinstance(names, list) else [],
        "size": weights.stat().st_size,
        "licence": config.get("licence"),
        "where": "in the package" if folder.parent == zoo.PRETRAINED else str(folder),
        "sha256": zoo.sha256_of(weights),
    }


def _download(name: str) -> dict[str, Any]:
    """What the list says of a download. Size, licence and hash are those of the file that is published."""
    from evenface import zoo

    wanted, path = zoo.get_download(name), zoo.find(name)
    return {
        "name": name,
        "kind": "detector",
        "what": wanted.what,
        "classes": [],
        "size": wanted.size,
        "licence": wanted.licence,
        "where": None if path is None else str(path),
        "sha256": wanted.sha256,
    }


def _details(name: str) -> dict[str, Any]:
    from evenface import zoo

    wanted = zoo.get_download(name)
    return {"address": wanted.address, "source": wanted.source, "accepted": list(wanted.known)}


def _plain(value: Any) -> str:
    return f"\n{'':<11}".join(map(str, value)) if isinstance(value, list) else str(value)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
