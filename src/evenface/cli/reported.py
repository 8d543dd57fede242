"""The paper's Tables 1 to 7 as printed, and which of their numbers can come from the test set that they name.

  evenface reported
  evenface reported table7
  evenface reported table7 --format csv

A recall is a number of right images out of the n of its class. Digits that no such number has are marked. They are at odds with one pass
over that test set; they do not say why: docs/reported.md. Our own runs beside these numbers: evenface study recipes/table7.yaml
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE", nargs="?", help="table1 to table7; without it what adds up in each of them")
    parser.add_argument("--format", choices=["text", "markdown", "csv"], default="text", help="default: text")


def run(args: argparse.Namespace) -> int:
    from evenface.cli.output import console
    from evenface.report.paper.audit import counts_table, printed_table, reported_csv, summary_table
    from evenface.report.paper.reported import get_table, reported

    if args.format == "csv":
        print(reported_csv(list(reported().values()) if args.table is None else [get_table(args.table)]), end="")
        return 0
    grids = [summary_table()] if args.table is None else [make(get_table(args.table)) for make in (printed_table, counts_table)]
    if args.format == "markdown":
        print("\n".join(grid.markdown() for grid in grids), end="")
        return 0
    out = console()
    for grid in grids:
        out.print(grid)
    return 0
