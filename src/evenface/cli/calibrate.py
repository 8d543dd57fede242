"""Calibrate a model: a temperature and a bias per class, so that of the faces with a score of 0.8 four in five are right. Written into its
config.json; the weights are not touched.

  evenface calibrate runs/x
  evenface calibrate model_folder --dataset folder --data-dir my_faces

A run does so itself while it trains. Do it again for runs of older versions, or on faces like those that the model is meant for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evenface.cli.flags import add_scoring, scoring


if TYPE_CHECKING:
    from evenface.report.grid import Grid
    from evenface.runs.calibrate import CalibrationReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="RUN", type=Path, help="a run folder, or a model folder")
    parser.add_argument("--split", default="validation", choices=["validation", "test"], help="faces of every class; default: validation")
    parser.add_argument("--dataset", help="fit on this data set (default: the run's)")
    parser.add_argument("--data-dir", help="where it lies (default: the run's)")
    add_scoring(parser)


def run(args: argparse.Namespace) -> int:
    from evenface.cli.output import console, progress_bar
    from evenface.runs.calibrate import calibrate

    how, out = scoring(args), console()
    with progress_bar(out, "scoring") as reach:
        found = calibrate(
            args.target,
            split=args.split,
            dataset=args.dataset,
            data_dir=args.data_dir,
            **how,
            progress=reach,
        )
    for grid in tables(found):
        out.print(grid)
    out.print(f"written   {found.model / 'config.json'}", highlight=False, soft_wrap=True, markup=False)
    return 0


def tables(found: CalibrationReport) -> list[Grid]:
    """What was fitted, what it brings, class by class, and the decisions under each prior."""
    from evenface.calibration import HOTTEST
    from evenface.report.grid import Grid
    from evenface.report.tables import percent

    c = found.calibration
    where = f"{c.dataset} {c.split}, {c.n:,} faces"
    fits = (
        ("temperature T", "1", f"{c.temperature_only:.3f}", f"{c.temperature:.3f}"),
        ("negative log-likelihood", *(f"{value:.4f}" for value in c.nll)),
        ("calibration error, %", *(f"{100 * value:.2f}" for value in c.ece)),
    )
    classes = [
        (name, str(round(c.prior[name] * c.n)), f"{bias:+.2f}", *(f"{100 * value:.2f}" for value in found.class_errors[name]))
        for name, bias in c.bias.items()
    ]
    priors = [(name, percent(scores["overall"]), percent(scores["mean_recall"])) for name, scores in found.priors.items()]
    hot = max(c.temperature, c.temperature_only) >= HOTTEST
    flat = f"T is at its limit of {HOTTEST:g}: scores tell next to nothing of these faces; small errors only say that it is never sure."
    return [
        Grid(f"Calibration on {where}", ("", "before", "T alone", "T and bias"), fits, notes=(flat,) * hot),
        Grid("Of each class's score", ("class", "faces", "bias", "error before, %", "after, %"), tuple(classes)),
        Grid(
            "Decisions under each prior",
            ("prior", "overall", "mean recall"),
            tuple(priors),
            notes=(
                "All on the faces that it was fitted on, so a little too good; score on test with: evenface evaluate RUN --prior PRIOR",
            ),
        ),
    ]
