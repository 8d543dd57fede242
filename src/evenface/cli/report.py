"""Write a report of one run or of many: one page that stands alone, and every figure as PNG, SVG and CSV beside it.

  evenface report runs/rbcf -o report.html
  evenface report runs/ce-s* runs/rbcf-s* -o compared.html
  evenface report runs/rbcf --no-faces -o public.html

Runs that differ only in their seed are one method; the method of the first run is the baseline. A folder of runs, such as a study's, stands
for the runs in it; a folder of scores, such as another tool's answers, for itself. The page shows the scores that are stored, on test and
validation; with --split it scores what is missing first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evenface.cli.flags import PRIORS, add_scoring, scoring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="run folders, folders of runs, model folders, names of models that ship, folders of scores (`evaluate -o`) or of such folders",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="the page (default: report.html)")
    parser.add_argument("--split", metavar="SPLIT,SPLIT", help="test, validation, train: score what is missing there, and show these only")
    parser.add_argument("--tta", default="none", choices=["none", "flip", "experts"], help="the scores of evaluate --tta")
    parser.add_argument("--prior", default="model", choices=PRIORS, help="the scores of evaluate --prior")
    parser.add_argument("--dataset", help="the data set that was scored (default: the run's)")
    parser.add_argument("--data-dir", help="where it lies, for the faces (default: the run's)")
    parser.add_argument("--no-faces", action="store_true", help="show and name no single face, so that the page can be published")
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap of the comparison (default: 10000)")
    add_scoring(parser)


def run(args: argparse.Namespace) -> int:
    from rich.status import Status

    from evenface.cli.output import console
    from evenface.report.report import write_report

    how, out = scoring(args), console()
    splits = None if args.split is None else [word.strip() for word in args.split.split(",")]
    with Status("report", console=out) as status:
        made = write_report(
            args.runs,
            args.output,
            splits=splits,
            tta=args.tta,
            prior=args.prior,
            dataset=args.dataset,
            data_dir=args.data_dir,
            with_faces=not args.no_faces,
            resamples=args.resamples,
            command=["evenface", *sys.argv[1:]],
            step=lambda text: status.update(f"report: {text}"),
            **how,
        )
    for note in made.notes:
        out.print(note, highlight=False, soft_wrap=True, markup=False)
    out.print(f"written   {made.page}\n          {made.folder}", highlight=False, soft_wrap=True, markup=False)
    return 0
