"""The Dockerfile without Docker: its words are right, and the steps that install and start the service work in an environment of their own.

What needs Docker itself (the base image, the user, the layers) is not run; PyTorch and the other dependencies are not fetched again but
taken from the environment that runs the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from evenface.cli import serve
from evenface.cli.main import Parser


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Keyword and words of each step."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def only(steps: list[tuple[str, str]], keyword: str) -> str:
    (words,) = [words for each, words in steps if each == keyword]
    return words


def test_it_does_not_run_as_root(steps: list[tuple[str, str]]) -> None:
    keywords = [keyword for keyword, _ in steps]
    assert only(steps, "USER") == "evenface"
    assert keywords.index("USER") > max(i for i, keyword in enumerate(keywords) if keyword in ("RUN", "COPY"))
    assert any(keyword == "RUN" and words.startswith("useradd ") and words.endswith(" evenface") for keyword, words in steps)


def test_what_is_copied_is_there_and_not_ignored(steps: list[tuple[str, str]]) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for keyword, words in steps if keyword == "COPY" and "--from" not in words for name in words.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def arguments(steps: list[tuple[str, str]]) -> argparse.Namespace:
    program, verb, *words = json.loads(only(steps, "ENTRYPOINT"))
    assert (program, verb) == ("evenface", "serve")
    parser = Parser(prog="evenface serve", allow_abbrev=False)
    serve.add_arguments(parser)
    return parser.parse_args(words)


def test_it_serves_where_it_is_exposed_and_asked_after_its_health(steps: list[tuple[str, str]]) -> None:
    args = arguments(steps)
    assert args.host == "0.0.0.0"
    assert str(args.port) == only(steps, "EXPOSE")
    assert f"127.0.0.1:{args.port}/healthz" in only(steps, "HEALTHCHECK")


def test_the_extra_that_it_installs_brings_what_the_verb_needs(steps: list[tuple[str, str]]) -> None:
    import tomllib

    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serve"]
    assert {re.split(r"[><=]", line)[0] for line in extra} == {"fastapi", "uvicorn", "python-multipart"}
    assert any("'.[serve]'" in words for keyword, words in steps if keyword == "RUN")


@pytest.mark.slow
def test_its_steps_install_and_serve(steps: list[tuple[str, str]], tiny: Path, tmp_path: Path) -> None:
    source, environment = tmp_path / "src", tmp_path / "opt"
    source.mkdir()

    def run(words: str) -> None:
        moved = words.replace("/opt/evenface", str(environment)).replace("python -m venv", f"{shlex.quote(sys.executable)} -m venv")
        done = subprocess.run(moved, shell=True, cwd=source, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    for keyword, words in steps:
        if keyword == "COPY" and "--from" not in words:
            *names, target = words.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source / target)
        elif keyword == "RUN" and not words.startswith("useradd"):
            run(words)
            if " -m venv " in words:  # the dependencies of this environment stand in for those that pip would fetch
                site = next((environment / "lib").glob("python3*")) / "site-packages"
                here = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
                (site / "borrowed.pth").write_text("\n".join(dict.fromkeys(here)) + "\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    program, *words = json.loads(only(steps, "ENTRYPOINT"))
    words = [port if word == "8000" else word for word in words]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"EVENFACE_TOKEN": "correct-horse"}
    log = tmp_path / "log.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [environment / "bin" / program, *words, "--model", tiny, "--detector", "none"], cwd=tmp_path, env=env, stdout=out, stderr=out
        )
    try:
        _, check = only(steps, "HEALTHCHECK").split(" CMD ")
        health = [word.replace("8000", port) for word in json.loads(check)]
        health[0] = str(environment / "bin" / health[0])
        deadline = time.monotonic() + 120
        while subprocess.run(health, capture_output=True, env=env, check=False).returncode:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
        assert subprocess.run(health, capture_output=True, env=env, check=False).returncode != 0
    finally:
        process.kill()
        process.wait(20)
    assert "model tiny" in log.read_text()
