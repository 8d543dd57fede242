"""`evenface doctor [--format json]`: versions, devices, precision, memory, disk and caches, and a way out for what is wrong.

Leaves with 0 when nothing fails (warnings are no failure) and with 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys


COLOURS = {"ok": "\033[32m", "warn": "\033[33m", "fail": "\033[31m"}
PLAIN = "\033[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "json"], default="text", help="text for people, json for programs (default: text)")


def run(args: argparse.Namespace) -> int:
    from evenface.doctor import examine

    findings = examine()
    failed = sum(finding.status == "fail" for finding in findings)
    if args.format == "json":
        print(json.dumps({"schema_version": 1, "ok": not failed, "findings": [finding.to_dict() for finding in findings]}, indent=2))
        return 1 if failed else 0
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{_coloured(finding.status)}  {finding.name:<{width}}  {finding.detail}")
        if finding.way_out:
            print(f"{'':4}  {'':<{width}}  -> {finding.way_out}")
    warned = sum(finding.status == "warn" for finding in findings)
    print(f"\n{failed} failed, {warned} to look at." if failed or warned else "\nNothing stands in the way.")
    return 1 if failed else 0


def _coloured(status: str) -> str:
    """The status in four columns, coloured on a terminal."""
    return f"{COLOURS[status]}{status:<4}{PLAIN}" if sys.stdout.isatty() else f"{status:<4}"
