"""What a card says is what the confusion matrix of the run says, worked out here by hand and by scipy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from evenface.cards.facts import gather
from evenface.cards.failures import rare_classes
from evenface.cards.markdown import share
from evenface.cards.page import card
from evenface.evaluation.records import write_metrics

from .conftest import BALANCED, CLASSES, CONFUSION, metrics_of


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text, flags=re.MULTILINE)[
        [part.partition("\n")[0] for part in re.split(r"^## ", text, flags=re.MULTILINE)].index(title)
    ]


def rows(text: str) -> dict[str, list[str]]:
    """The tables of a section: first cell -> the others, bold or not."""
    lines = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {line[0]: line[1:] for line in lines}


def wilson(hits: int, trials: int) -> str:
    found = binomtest(hits, trials).proportion_ci(method="wilson")
    return f"[{100 * found.low:.1f}, {100 * found.high:.1f}]"


def as_labels(confusion: np.ndarray) -> tuple[list[int], list[int]]:
    pairs = [(i, j) for i in range(len(confusion)) for j in range(len(confusion)) for _ in range(confusion[i, j])]
    return [i for i, _ in pairs], [j for _, j in pairs]


def test_a_share_has_wilsons_interval() -> None:
    assert share(41, 83) == f"49.4 % {wilson(41, 83)}"
    assert share(0, 18) == "0.0 % [0.0, 17.6]"


def test_the_classes_have_their_scores(run: Path, config: dict[str, Any]) -> None:
    found = rows(section(card(gather(run, config)), "Scores on test"))
    precision, recall, f1, n = precision_recall_fscore_support(*as_labels(CONFUSION), zero_division=0)
    for i, name in enumerate(CLASSES):
        assert found[name] == [
            str(config["train_counts"][name]),
            str(n[i]),
            f"{100 * recall[i]:.1f} {wilson(CONFUSION[i, i], n[i])}",
            f"{100 * precision[i]:.1f}",
            f"{100 * f1[i]:.1f}",
        ]
    # Thirty faces of happiness, all right, stand in train: 106 of 130 without them, recalls 24/30, 80/90 and 2/10.
    assert [cell.partition(" [")[0] for cell in found["overall"]] == ["85.0", "81.5"]
    assert [cell.partition(" [")[0] for cell in found["mean recall"]] == [
        f"{100 * recall.mean():.1f}",
        f"{100 * (0.8 + 8 / 9 + 0.2) / 3:.1f}",
    ]
    assert "30 of the 160 faces stand in train pixel for pixel." in section(card(gather(run, config)), "Scores on test")


def test_the_confusion_has_counts_and_shares_of_the_row(run: Path, config: dict[str, Any]) -> None:
    found = rows(section(card(gather(run, config)), "Confusion"))
    assert found["happiness"] == ["54 / 90.0", "4 / 6.7", "2 / 3.3", "60"]
    assert found["fear"] == ["4 / 40.0", "4 / 40.0", "2 / 20.0", "10"]
    assert found["called so"] == ["68", "88", "4", "160"]


def test_known_failures_come_from_the_confusion(run: Path, config: dict[str, Any]) -> None:
    text = section(card(gather(run, config)), "Known failures")
    assert f"**fear** is found in 2 of 10 faces, 20.0 % {wilson(2, 10)}; taken for neutral 4 (40.0 % {wilson(4, 10)}), happiness 4" in text
    assert text.index("**fear** is found") < text.index("**neutral** is found") < text.index("**happiness** is found")
    assert f"Where it says **fear**, it is right 2 of 4 times, 50.0 % {wilson(2, 4)}; 2 of the others are happiness." in text
    assert "The most frequent of its 24 errors: neutral taken for happiness (10 of 90); happiness taken for neutral (4 of 60);" in text
    assert f"Too few faces to say more than that: fear (n 10, recall 20.0 {wilson(2, 10)})." in text
    assert "30 of the faces stand in train pixel for pixel; without them the mean recall is 63.0 in place of 66.3." in text
    assert "has not been measured" not in text
    table = [line for line in text.splitlines() if line.startswith("| fear")]
    assert table == [
        f"| fear | model | 10 | 20.0 {wilson(2, 10)} | 4 | 50.0 {wilson(2, 4)} |",
        f"| fear | balanced | 10 | 70.0 {wilson(7, 10)} | 21 | 33.3 {wilson(7, 21)} |",
    ]
    assert BALANCED[:, 2].sum() == 21
    (run / "metrics-test-balanced.json").unlink()
    assert "How precise the rare classes (fear) are under `--prior balanced` has not been measured on test." in card(gather(run, config))


def test_classes_that_are_never_named_or_have_no_face(run: Path, config: dict[str, Any]) -> None:
    write_metrics(run / "metrics-test.json", metrics_of(np.array([[40, 0, 0], [9, 31, 0], [5, 1, 0]])))
    text = section(card(gather(run, config)), "Known failures")
    assert "**fear**: no face was called so." in text
    assert "**happiness** is found" not in text
    write_metrics(run / "metrics-test.json", metrics_of(np.array([[40, 0, 0], [9, 31, 0], [0, 0, 0]])))
    text = card(gather(run, config))
    assert "No face of fear: nothing can be said." in text
    assert "No face of fear: left out of the means." in text


def test_a_class_is_rare_below_a_quarter_of_its_share() -> None:
    assert rare_classes({"a": 60, "b": 30, "c": 8, "d": 2}) == ["d"]  # the equal share is 25, a quarter of it 6.25
    assert rare_classes({"a": 10, "b": 10}) == []


def test_every_setting_has_a_line_and_the_optimistic_ones_are_named(run: Path, config: dict[str, Any]) -> None:
    lines = [line for line in section(card(gather(run, config)), "Other priors and views").splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| test", "model", "one view"],
        ["| test", "balanced", "one view"],
        ["| validation (optimistic)", "model", "one view"],
    ]
    for file in run.glob("metrics-test-*"):
        file.unlink()
    assert "## Other priors" not in card(gather(run, config))


def test_how_it_was_trained(run: Path, config: dict[str, Any]) -> None:
    text = section(card(gather(run, config, minutes=12.3)), "How it was trained")
    found = rows(text)
    assert found["epoch"] == ["4 of 5, chosen by mean recall on the validation split (61.0 %), protocol `validation`"]
    assert found["start"] == [f"Start from start.pth: 3 of 3 loaded; sha256 `{'ab' * 32}`"]
    assert found["training faces"] == ["100: happiness 55, neutral 40, fear 5"]
    assert found["speed of training"] == ["103 faces a second (on cpu, fp32, 2 threads; median of the epochs), 12 minutes in all"]
    assert found["made with"] == ["evenface 0.1.0, Python 3.12, torch 2.9"]
    assert found["optimiser"] == ["adam, learning rate 0.001, batch 8"]
    assert "evenface train --data-dir DIR -o runs/first" in text
    assert "/data" not in card(gather(run, config))
    (run / "log.csv").write_text("epoch,images_per_second\n1,10\n")
    assert "4 epochs were done when this was written" in card(gather(run, config))


def test_a_config_of_another_maker_says_less(run: Path, config: dict[str, Any]) -> None:
    config["method"] = {"lam": 0.1}
    config["selection"] = {**config["selection"], "value": "high"}
    found = rows(section(card(gather(run, config)), "How it was trained"))
    assert found["method"] == ["not known, `lam` 0.1"]
    assert found["epoch"] == ["4 of 5, chosen by mean recall on the validation split, protocol `validation`"]


def test_calibration_before_and_after(run: Path, config: dict[str, Any]) -> None:
    found = rows(section(card(gather(run, config)), "Calibration"))
    assert found["temperature"] == ["1", "1.50", "1.25"]
    assert found["calibration error (ECE, 15 bins), %"] == ["8.1", "4.2", "2.3"]
    config["calibration"] = None
    assert section(card(gather(run, config)), "Calibration").splitlines()[2].startswith("Not calibrated")


def test_scores_of_another_epoch_or_calibration_are_left_out(run: Path, config: dict[str, Any]) -> None:
    config["calibration"] = {**config["calibration"], "temperature": 1.3}
    text = card(gather(run, config))
    assert "Left out, for they are of an earlier epoch or calibration: drawn test, prior balanced." in text
    assert "## Other priors" not in text
    config["epoch"] = 5
    text = card(gather(run, config))
    assert "calibration: drawn test, prior balanced; drawn test; drawn validation." in text  # as the files are named
    assert "Nothing has been measured class by class." in text


def test_a_bare_model_says_what_is_not_known(tmp_path: Path) -> None:
    bare = {"architecture": "resnet18", "class_names": list(CLASSES), "img_size": 64}
    (tmp_path / "x").mkdir()
    text = card(gather(tmp_path / "x", bare))
    for words in (
        "trained by a method that is not known",
        "Nothing has been measured class by class",
        "Not calibrated",
        "| speed of training | not measured |",
        "Weights: nobody has stated a licence for them. Data that they learned from: no licence is stated.",
        "must not be used to judge people",
    ):
        assert words in text, words


def test_other_data_have_a_section_of_their_own(run: Path, config: dict[str, Any]) -> None:
    write_metrics(run / "metrics-strangers-test.json", metrics_of(CONFUSION, dataset="strangers"))
    write_metrics(run / "metrics-drawn-test.json", metrics_of(CONFUSION[::-1].copy()))  # other faces under the same name
    text = card(gather(run, config))
    assert "## Scores on other data: strangers test" in text
    assert "## Scores on other data: drawn test" in text
    assert text.count("## Scores on test\n") == text.count("## Confusion") == 1


def test_the_papers_protocol_shows_the_epochs_as_papers_do(run: Path, config: dict[str, Any]) -> None:
    epochs: dict[str, Any] = {
        name: {"overall": 0.9, "mean_recall": rate} for name, rate in (("last", 0.5), ("best", 0.6), ("last_5", 0.55))
    }
    epochs["last_5"]["epochs"] = [1, 2, 3]
    write_metrics(run / "metrics-test.json", metrics_of(CONFUSION, optimistic=True, paper=epochs))
    config["selection"] = {**config["selection"], "split": "test", "protocol": "paper"}
    text = card(gather(run, config))
    assert "last epoch 90.0 / 50.0, best epoch 90.0 / 60.0, mean of the last 3 90.0 / 55.0." in text
    assert "optimistic on test, since it was chosen there" in text
    assert "(optimistic: the epoch was chosen on these faces)" in text


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema_version": 1}', json.dumps({"schema_version": 99})])
def test_a_damaged_file_costs_its_own_part_only(run: Path, config: dict[str, Any], damage: str) -> None:
    for name in ("metrics-validation.json", "environment.json"):
        (run / name).write_text(damage)
    (run / "config.yaml").write_text("[: no yaml")
    text = card(gather(run, config))
    assert "## Scores on test" in text
    assert "## Scores on validation" not in text
