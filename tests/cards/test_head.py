"""The head of a card is one that the Hugging Face Hub's own library reads, with the scores of the run in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from evenface.cards.facts import gather
from evenface.cards.head import slug
from evenface.cards.page import card
from evenface.evaluation.records import write_metrics

from .conftest import CONFUSION, metrics_of


def parsed(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    found = yaml.safe_load(text.removeprefix("---\n").partition("\n---\n")[0])
    assert isinstance(found, dict)
    return found


def test_it_has_the_fields_of_a_model_card(run: Path, config: dict[str, Any]) -> None:
    text = card(gather(run, {**config, "licence": "Research use only (drawn faces)"}))
    values = parsed(text)
    assert {key: values[key] for key in ("license", "license_name", "data_license", "library_name", "pipeline_tag")} == {
        "license": "other",
        "license_name": "research-use-only",
        "data_license": "CC0",
        "library_name": "evenface",
        "pipeline_tag": "image-classification",
    }
    assert values["tags"] == ["facial-expression-recognition", "long-tail", "rbcf"]
    read = ModelCard(text, ignore_metadata_errors=False)
    assert read.data.model_name == "first"
    assert read.content.lstrip("\n").startswith("---")
    assert read.text.strip().startswith("# first")


def test_the_hubs_library_finds_every_score(run: Path, config: dict[str, Any]) -> None:
    write_metrics(run / "metrics-strangers-test.json", metrics_of(CONFUSION, dataset="strangers"))
    name, results = model_index_to_eval_results(parsed(card(gather(run, config)))["model-index"])
    assert name == "first"
    found = {(r.dataset_name, r.dataset_split, r.metric_type): r for r in results}
    assert len(found) == len(results) == 9
    assert {r.task_type for r in results} == {"image-classification"}
    assert found["drawn", "test", "accuracy"].metric_value == 0.85  # 136 of 160
    assert found["drawn", "test", "recall"].metric_value == pytest.approx((0.9 + 80 / 90 + 0.2) / 3, abs=5e-5)
    assert found["drawn", "test", "recall"].metric_args["average"] == "macro"
    assert found["drawn", "test", "accuracy"].dataset_revision == "0123abcd"
    assert found["strangers", "test", "accuracy"].dataset_revision is None
    args = found["drawn", "test", "f1"].dataset_args
    assert (args["n"], args["n_per_class"], args["duplicates_of_train"]) == (160, {"happiness": 60, "neutral": 90, "fear": 10}, 30)
    assert "optimistic" not in args
    assert found["drawn", "validation", "f1"].dataset_args["optimistic"] is True
    metrics = json.loads((run / "metrics-test.json").read_text())
    assert found["drawn", "test", "f1"].metric_args["ci95"] == pytest.approx(metrics["ci95"]["macro_f1"], abs=5e-5)


def test_without_scores_or_licence_there_is_none_in_it(run: Path, config: dict[str, Any]) -> None:
    for file in run.glob("metrics-*"):
        file.unlink()
    values = parsed(card(gather(run, {**config, "data_licence": None})))
    assert set(values) == {"library_name", "pipeline_tag", "tags"}


@pytest.mark.parametrize(
    ("words", "name"), [("CC BY 4.0", "cc-by-4.0"), ("research use only (FER2013)", "research-use-only"), ("(?)", "other")]
)
def test_a_licence_in_words_has_a_name(words: str, name: str) -> None:
    assert slug(words) == name


@pytest.mark.parametrize("words", ["CC BY 4.0", "cc-by-4.0", "Apache 2.0", "MIT"])
def test_a_licence_that_the_hub_knows_stands_under_its_name(words: str, run: Path, config: dict[str, Any]) -> None:
    values = parsed(card(gather(run, {**config, "licence": words})))
    assert values["license"] == {"CC BY 4.0": "cc-by-4.0", "Apache 2.0": "apache-2.0", "MIT": "mit"}.get(words, words)
    assert "license_name" not in values
