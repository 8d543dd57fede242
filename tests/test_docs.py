"""What the documents show works: Python blocks run, commands parse, links lead somewhere; no path of a machine stands in them."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evenface.cli.main import VERBS, Parser


ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:.*-m )?evenface ([a-z].*)$")  # also behind torchrun


def blocks(page: Path, *kinds: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind in kinds]


def commands() -> Iterator[tuple[str, str]]:
    """Page and words of each command in a fenced block."""
    for page in PAGES:
        for text in blocks(page, "", "sh"):
            for line in text.splitlines():
                found = COMMAND.match(line)
                if found:
                    yield page.name, found[1]


def mentions() -> Iterator[tuple[str, str]]:
    """Page and words of each `evenface ...` in running text, which may be a part of a command."""
    for page in PAGES:
        prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
        for words in re.findall(r"`evenface ([a-z][^`]*)`", prose):
            yield page.name, words


def full_parser(verb: str, words: list[str]) -> argparse.ArgumentParser:
    """The parser of a verb with all its flags; `train` has those of the method that the words name."""
    module = importlib.import_module(f"evenface.cli.{verb}")
    parser = Parser(prog=f"evenface {verb}", allow_abbrev=False)
    if hasattr(module, "parse"):
        module.parse(parser, words[words.index("--method") :][:2] if "--method" in words else [])
    else:
        module.add_arguments(parser)
    return parser


def flags(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found |= {flag for each in action.choices.values() for flag in flags(each)}
    return found


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the files that commands of the documents name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tilted.py").write_text(blocks(ROOT / "docs" / "adding-a-method.md", "python")[0], encoding="utf-8")
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "config.yaml").write_text("method: rbcf\nmethod_options: {beta: 0.9999}\nlr: 1e-4\n")
    return tmp_path


def test_there_is_something_to_look_at() -> None:
    assert len(list(commands())) > 20
    assert len(list(mentions())) > 10


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_parses(page: str, line: str, workplace: Path) -> None:
    verb, *words = [word for word in shlex.split(line, comments=True) if word != "--help"]
    assert verb in VERBS, f"{page}: no verb {verb}"
    module = importlib.import_module(f"evenface.cli.{verb}")
    parser = Parser(prog=f"evenface {verb}", allow_abbrev=False)
    if hasattr(module, "parse"):
        module.parse(parser, words)
    else:
        module.add_arguments(parser)
        parser.parse_args(words)


@pytest.mark.parametrize(("page", "line"), sorted(set(mentions())))
def test_a_mentioned_verb_and_its_flags_exist(page: str, line: str, workplace: Path) -> None:
    verb, *words = shlex.split(line)
    assert verb in VERBS, f"{page}: no verb {verb}"
    unknown = {word.split("=")[0] for word in words if word.startswith("-")} - flags(full_parser(verb, words))
    assert not unknown, f"{page}: {verb} has no {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_flag_in_the_text_is_one_of_some_verb(page: Path, workplace: Path) -> None:
    from evenface.methods import METHODS

    known = {
        "--force-reinstall",
        "--nproc-per-node",
        "--shm-size",
        "--memory",
        "--minutes",
        "--anew",
        "--document",
        "--seconds",
        "--clients",
    }  # others'
    for verb in VERBS:
        known |= flags(full_parser(verb, []))
    for name in [*METHODS, "tilted.py:Tilted"]:
        known |= flags(full_parser("train", ["--method", name]))
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8")))
    assert found <= known, found - known


@pytest.mark.parametrize("number", range(len(blocks(ROOT / "docs" / "losses.md", "python"))))
def test_a_python_block_of_the_losses_runs(number: int) -> None:
    text = blocks(ROOT / "docs" / "losses.md", "python")[number]
    exec(compile(text, f"losses.md, block {number}", "exec"), {"__name__": "block"})


def test_every_loss_stands_in_its_page() -> None:
    from evenface import losses

    page = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
    missing = [name for name in losses.__all__ if f"`{name}`" not in page]
    assert not missing


@pytest.mark.slow
def test_the_python_block_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single epoch in place of those of its preset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path / "home"))
    (text,) = blocks(ROOT / "README.md", "python")
    small = text.replace('from_preset("tiny",', 'from_preset("tiny", epochs=1, device="cpu",')
    assert small != text
    names: dict[str, Any] = {"__name__": "block"}
    exec(compile(small, "README.md", "exec"), names)
    assert 0 <= names["found"].metrics["mean_recall"] <= 1
    assert (tmp_path / "runs" / "first" / "metrics-test.json").is_file()


def test_the_recipe_of_the_documents(tmp_path: Path) -> None:
    from evenface.study import plan, read_recipe

    text, axes, search = blocks(ROOT / "docs" / "studies.md", "yaml")
    (tmp_path / "losses.yaml").write_text(text, encoding="utf-8")
    recipe = read_recipe(tmp_path / "losses.yaml")
    assert list(recipe.runs) == ["ce", "cb", "rbcf", "rbcf_mu1", "crt"]
    assert len(plan(recipe)) == 5 * 3
    (tmp_path / "grid.yaml").write_text("runs: {rbcf: {method: rbcf}}\n" + axes, encoding="utf-8")
    grid = plan(read_recipe(tmp_path / "grid.yaml"))
    assert len(grid) == 3 * 2 * 2
    assert (grid[1].name, grid[1].config.lr) == ("rbcf-50-0.5-swin", 3e-5)
    (tmp_path / "search.yaml").write_text(text + search, encoding="utf-8")
    wanted = read_recipe(tmp_path / "search.yaml").search
    assert wanted is not None
    assert (wanted.trials, wanted.runs, list(wanted.space)) == (20, ("rbcf",), ["lr", "method_options.mu", "schedule"])


def test_the_python_block_of_the_studies_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (text,) = blocks(ROOT / "docs" / "studies.md", "python")
    exec(compile(text, "studies.md", "exec"), {"__name__": "block"})
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["ce", "s0"], ["rbcf", "s0"]]


def test_the_method_of_the_documents_learns(workplace: Path) -> None:
    """Its loss is cross-entropy with the weights that its docstring names, here worked by hand."""
    import torch

    from evenface.methods import Batch, Setting, create_method
    from evenface.models.output import Output

    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    method = create_method("tilted.py:Tilted", Setting(("happiness", "fear"), (8, 2), epochs=1), {"strength": 2.0})
    batch = Batch(torch.zeros(2, 3, 4, 4), None, torch.tensor([0, 1]), None, torch.arange(2), lambda maps: maps)
    total = method.loss(batch, lambda x: Output(logits, logits, logits)).total  # type: ignore[arg-type]
    losses = [torch.log1p(torch.exp(torch.tensor(-2.0))).item()] * 2  # both margins are 2
    assert total.item() == pytest.approx((1 * losses[0] + (1 + 2 * 0.75) * losses[1]) / 2)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        if "://" in target:
            continue
        other = page.parent / name if name else page
        assert other.exists(), f"{page.name} links to {target}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_of_a_machine(page: Path) -> None:
    assert not re.findall(r"(?<![\w.~])/(?:work|home|root|tmp|Users)/\S*", page.read_text(encoding="utf-8"))
