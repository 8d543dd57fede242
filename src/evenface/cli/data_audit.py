"""`evenface data audit`: its flags, the bar while it works, and the table at the end."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenface.cli.data_prepare import LABELS
from evenface.wording import counted


if TYPE_CHECKING:
    from evenface.audit.finding import Audit

ABOUT = """\
What is wrong with a data set: copies within and across the splits, doubtful labels, pictures that cannot be read, are tiny, blank, badly
aligned or show no face, and people who stand in more than one split. Nothing is changed.

  evenface data audit --dataset folder --data-dir DIR -o checked
  evenface train --dataset folder --data-dir DIR --exclude checked/verdicts.csv ...

The folder gets verdicts.csv, and audit.html with the faces. Stopped or killed, the same command goes on.

checks:
  unreadable       pictures that cannot be read, with the reason
  tiny             pictures of few pixels
  blank            pictures of one colour
  duplicates       the same pixels more than once
  near-duplicates  the same photo mirrored, scaled, brightened or compressed again
  subjects         people who stand in more than one split
  votes            faces whose annotators disagree, where the votes are known
  left-out         rows of the source that the reader leaves out, with the reason
  no-face          pictures in which the detector finds no face
  alignment        faces that are turned, shifted or scaled against the others
  labels           doubtful labels, by a judge that has not learned from them
"""


def add_verb(verbs: Any) -> None:
    """Adds `audit` to the verbs of `evenface data`."""
    parser = verbs.add_parser(
        "audit", help="find copies, doubtful labels, and pictures that are broken or show no face",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--dataset", required=True, help="synthetic, ferplus, rafdb, affectnet, folder or manifest")
    parser.add_argument("--data-dir", help="where the data set lies, in the layout as downloaded")
    parser.add_argument("--classes", type=int, choices=[7, 8], default=7, help="7 basic expressions, or 8 with contempt (default: 7)")
    parser.add_argument("--labels", choices=LABELS, default="majority", help="FERPlus: how votes become labels (default: majority)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER",
        help="a new folder, or that of an earlier audit: what is finished is not done again, and the report has this call's checks alone",
    )  # fmt: skip
    parser.add_argument("--checks", metavar="A,B", help="which checks (default: all)")
    parser.add_argument(
        "--exclude-checks", metavar="A,B", help="write FOLDER/exclude.txt: the training faces that leave by these checks, for --exclude"
    )
    parser.add_argument("--min-side", type=int, default=32, metavar="N", help="a shorter side, in pixels, is tiny (default: 32)")
    parser.add_argument("--detector", default="mtcnn", help="of no-face and alignment: mtcnn, yunet or yunet:PATH (default: mtcnn)")

    judge = parser.add_argument_group("doubtful labels")
    judge.add_argument(
        "--model", help="whose features judge: a run, a model folder, a shipped name, or dlib-face (default: the shipped model)"
    )
    judge.add_argument("--folds", type=int, default=5, metavar="N", help="no face is judged by what has learned from it (default: 5)")
    judge.add_argument(
        "--rule", default="auto", help="cleanlab (extra: audit), plain, or auto: cleanlab where it is installed (default: auto)"
    )

    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads (default: one per core)")
    parser.set_defaults(run=run_audit)


def run_audit(args: argparse.Namespace) -> int:
    from evenface.audit.finding import chosen, ordered_checks
    from evenface.audit.run import audit
    from evenface.audit.writing import counts_grid, write_excluded
    from evenface.cli.data_prepare import REAL_FACES
    from evenface.cli.output import console
    from evenface.cli.progress import Watch
    from evenface.data import load_dataset, load_left_out
    from evenface.errors import ConfigError, TrainingError

    checks = _names(args.checks)
    excluded = ordered_checks(_names(args.exclude_checks) or ())
    absent = [name for name in excluded if checks is not None and name not in checks]
    if absent:
        raise ConfigError(f"--exclude-checks names {', '.join(absent)}, which --checks leaves out.")
    ordered_checks(checks or ())
    how = {"classes": args.classes, "labels": args.labels}
    manifest = load_dataset(args.dataset, args.data_dir, **how)
    others = load_left_out(args.dataset, args.data_dir, **how)
    try:
        with Watch() as watch:
            done = audit(
                manifest, args.output, left_out=others, checks=checks, model=args.model, folds=args.folds, rule=args.rule,
                detector=args.detector, min_side=args.min_side, workers=args.workers, device=args.device, listener=watch,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise TrainingError(f"Stopped; what is finished stays in {args.output}, and the same command goes on from there.") from None
    console().print(counts_grid(done))
    _tell(args, done)
    path = args.output / "exclude.txt"
    rows = chosen(done.rows, done.findings, excluded)
    if rows:
        write_excluded(path, done.rows, rows)
        print(f"written   {path}: {counted(len(rows), 'training face')}, by {', '.join(excluded)}")
    elif excluded:
        path.unlink(missing_ok=True)
        print(f"not written: {path}; no training face leaves by {', '.join(excluded)}")
    elif path.is_file():  # it stays, since trainings may name it
        print(f"{path} is of an earlier call; --exclude-checks writes it anew")
    if args.dataset != "synthetic":
        print(REAL_FACES)
    return 0


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _tell(args: argparse.Namespace, done: Audit) -> None:
    leave = counted(done.suggested, "training face")
    print(f"written   {args.output / 'verdicts.csv'}: {counted(len(done.findings), 'finding')}, {leave} to leave out")
    print(f"written   {args.output / 'audit.html'}")
    if done.suggested:
        print(f"next      evenface train --dataset {args.dataset} ... --exclude {shlex.quote(str(args.output / 'verdicts.csv'))}")
