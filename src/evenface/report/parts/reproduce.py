"""How to come to these numbers again: commands, seeds, versions, starts with their hashes, data, settings."""

from __future__ import annotations

import dataclasses
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from evenface._version import __version__
from evenface.report.figures.figure import Figure
from evenface.report.gather import Run
from evenface.report.grid import Grid
from evenface.report.page import Section, code, folded, grid_html, paragraph
from evenface.report.parts.part import Context, Part


def reproduce(context: Context, command: Sequence[str], figures: Sequence[Figure], tables: Sequence[str], folder: str) -> Part:
    """The last section.

    Args:
        command: that made the report.
        figures, tables: what was written beside the page.
        folder: where, as a name.
    """
    runs = context.main.runs
    environments = {run.name: run.environment() for run in runs}
    trained = [str(found["command"]) for found in environments.values() if found.get("command")]
    scored = [
        _scored_with(context, scores.split, run, metrics)
        for scores in context.splits
        for run, metrics in zip(scores.runs, scores.metrics, strict=True)
    ]
    parts = [paragraph("Trained with:"), code("\n".join(trained))] if trained else []
    parts += [paragraph("Scored with:"), code("\n".join(dict.fromkeys(scored)))]
    if command:
        parts += [paragraph("This page:"), code(shlex.join(command))]
    models = [run for run in runs if run.about is not None]
    parts += [grid_html(_runs(models, environments))] if models else []
    parts.append(grid_html(_machine(runs, environments)))
    settings = _settings(runs)
    if settings:
        parts.append(folded("All settings of the trainings", code(settings)))
    parts.append(grid_html(_files(figures, tables, folder)))
    return Part(Section("How to reproduce it", "reproduce", "".join(parts)))


def _scored_with(context: Context, split: str, run: Run, metrics: Mapping[str, Any]) -> str:
    """The command that scores it; on other faces than the run's own the one that was typed, which alone knows where they lie."""
    typed = str(metrics.get("command") or "")
    elsewhere = run.config is None or run.about is None or metrics["dataset"] != run.about.dataset
    return typed if elsewhere and typed else context.command(run, split)


def _runs(runs: Sequence[Run], environments: Mapping[str, Mapping[str, Any]]) -> Grid:
    rows = []
    for run in runs:
        init, found = (run.about.init if run.about is not None else None) or {}, environments[run.name]
        data = str(found.get("data_ids") or found.get("train_ids") or "-")
        protocol = "-" if run.config is None else run.config.protocol
        seed = "-" if run.seed is None else str(run.seed)
        rows.append((run.name, run.label, seed, protocol, str(init.get("source", "-")), str(init.get("sha256") or "-")[:16], data))
    head = ("training", "method", "seed", "protocol", "start", "its sha256", "training faces")
    notes = (
        "Start: what the weights began as, and the first 16 digits of the SHA-256 of its file. Training faces: a fingerprint of their ids "
        "and labels; equal ones mean equal data.",
    )
    return Grid("Trainings", head, tuple(rows), notes=notes)


def _machine(runs: Sequence[Run], environments: Mapping[str, Mapping[str, Any]]) -> Grid:
    """Versions and device; one column where all trainings agree, else one for each set."""
    columns: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in runs:
        found = environments[run.name]
        if not found:
            continue
        packages = found.get("packages") or {}
        facts = {
            "evenface": found.get("evenface"), "python": found.get("python"), "platform": found.get("platform"),
            "device": found.get("device"), "precision": found.get("precision"), "processes": found.get("processes"),
            "threads": found.get("threads"), **packages,
        }  # fmt: skip
        columns.setdefault(tuple((key, str(value)) for key, value in facts.items() if value is not None), []).append(run.name)
    here = (("evenface", __version__), ("python", platform.python_version()), ("platform", platform.platform()))
    tables = [*map(dict, columns), dict(here)]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    heads = ["trained with" if len(columns) == 1 else ", ".join(names) for names in columns.values()]
    rows = tuple((key, *(table.get(key, "") for table in tables)) for key in keys)
    return Grid("Versions", ("", *heads, "report made with"), rows)


def _settings(runs: Sequence[Run]) -> str:
    """What all trainings share as YAML, then what differs."""
    configs = {run.name: dataclasses.asdict(run.config) for run in runs if run.config is not None}
    if not configs:
        return ""
    first, *others = configs.values()
    shared = {key: value for key, value in first.items() if all(other[key] == value for other in others)}
    text = str(yaml.safe_dump(shared, sort_keys=False, allow_unicode=True))
    for name, config in configs.items():
        rest = {key: value for key, value in config.items() if key not in shared}
        if rest:
            text += f"\n# {name}\n{yaml.safe_dump(rest, sort_keys=False, allow_unicode=True)}"
    return text


def _files(figures: Sequence[Figure], tables: Sequence[str], folder: str) -> Grid:
    rows = [(figure.title, f"{figure.name}.png  .svg  .csv") for figure in figures]
    rows += [(name.replace("-", " "), f"{name}.csv") for name in tables]
    return Grid(f"Files in {folder}", ("what", "file"), tuple(rows), notes=("Rates in the CSVs are 0 to 1.",))
