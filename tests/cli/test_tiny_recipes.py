"""The paper's tables on drawn faces, from the recipe to the files; and what is said of a start that is not there."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenface.data.synthetic import sets
from evenface.report.paper import LAYOUTS
from evenface.study import Task, work


ROOT = Path(__file__).resolve().parents[2]
FEW = {"happiness": 160, "neutral": 104, "sadness": 68, "surprise": 48, "disgust": 8, "anger": 22, "fear": 4, "contempt": 4}


@pytest.fixture
def few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drawn set in a fifth of its size, and the runs in this process."""

    def run(runs: Any, task: Task, **_: Any) -> dict[str, str]:
        for each in runs:
            work(each.config, task)
        return {}

    monkeypatch.setattr(sets, "TRAIN_COUNTS", FEW)
    monkeypatch.setattr(sets, "HELD_OUT", {"validation": 10, "test": 10})
    monkeypatch.setattr("evenface.study.run_locally", run)


@pytest.mark.slow
@pytest.mark.usefixtures("few_faces")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tiny_recipe_becomes_its_table(layout: str, cli: Any) -> None:
    """Every run of it, with its settings but for one epoch of few and small faces."""
    values = yaml.safe_load((ROOT / "recipes" / f"{layout}-tiny.yaml").read_text(encoding="utf-8"))
    values["base"] |= {"epochs": 1, "img_size": 32, "device": "cpu", "precision": "fp32", "workers": 1}
    values["seeds"] = [0]
    Path("tiny.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    found = cli("study", "tiny.yaml")
    assert (found.code, found.err) == (0, "")
    folder = Path("runs") / f"{layout}-tiny"
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    trained = {path.parent.parent.name.rsplit("-s0-", 1)[0] for path in folder.glob("*/best/config.json")}
    assert {row["run"] for row in rows} == trained
    assert all(0 <= float(row["mean_recall"]) <= 1 and row["n"] == "70" for row in rows)
    table = (folder / "table.md").read_text()
    if layout == "fig9":
        assert (folder / "fig9.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / "fig9.svg").read_text()
        assert "![fig9](fig9.png)" in table
        assert "Fig. 9: mean recall on validation" in found.out
    else:
        assert f"Table {layout[-1]}: " in found.out
        assert "evenface reported" in table
        for row in rows:  # a network with one answer for all has an interval without width, which is not shown
            spread = float(row["mean_recall_high"]) > float(row["mean_recall_low"])
            assert f"{100 * float(row['mean_recall']):.1f}{' [' if spread else ' '}" in table


def test_a_start_that_is_not_there_is_told_before_anything_is_trained(cli: Any, tmp_path: Path) -> None:
    file = ROOT / "recipes" / "table1.yaml"
    found = cli("study", file, "--data-dir", tmp_path)
    found.refused(1, "ce starts from resnet18_msceleb.pth, which is not here", "--init FILE", "--init pretrained")
    cli("study", file, "--data-dir", tmp_path, "--init", "mine.pth").refused(1, "ce starts from mine.pth, which is not here")
    cli("study", ROOT / "recipes" / "table1-tiny.yaml", "--init", "mine.pth").refused(2, "this one names none")
    assert not Path("runs").exists()


def test_a_layout_is_checked_when_the_recipe_is_read(cli: Any) -> None:
    Path("a.yaml").write_text("layout: tabel3\nruns: {ce: {}}\n")
    cli("study", "a.yaml", "--dry-run").refused(2, "a.yaml: Unknown layout 'tabel3'; did you mean 'table3'?")
    Path("b.yaml").write_text("layout: table5\nruns: {ce: {}}\n")
    cli("study", "b.yaml", "--dry-run").refused(2, "The layout 'table5' has rows for runs named")


def test_the_reported_tables(cli: Any) -> None:
    assert "Table 7" in cli("reported").out
    text = cli("reported", "table7").out
    assert "*43.26" in text
    assert "images that were right" in text
    assert cli("reported", "table7", "--format", "csv").out.startswith(
        "table,row,run,backbone,column,printed,n,right,cut,implied,follows\n"
    )
    assert cli("reported", "table1", "--format", "markdown").out.startswith("**Table 1: ")
    cli("reported", "table8").refused(2, "Unknown table 'table8'; did you mean 'table")
