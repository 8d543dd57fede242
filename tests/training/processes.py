"""Runs `evenface` in forked processes: what torchrun does, without paying for the imports in each process and each run.

    echo '{"words": ["train", "-c", "x.yaml"], "world": 2, "signals": [[1, 4, "SIGTERM"]]}' | python processes.py

Each line of the input starts `world` processes and waits for them. `signals` has (rank, step, name): that process sends itself that
real signal after that step; "nan" makes the loss of that step no number, in that process alone. The answer is a JSON line: the exit codes,
stdout and stderr.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from typing import Any

import torch

from evenface.cli.main import main
from evenface.training import run  # noqa: F401  (imported before the forks)
from evenface.training.loop import Loop
from evenface.training.trainee import Trainee


def arm(signals: dict[int, str]) -> None:
    """The things that happen to this process, by step."""
    step, forward = Loop.step, Trainee.forward
    done = 0

    def broken(self: Trainee, *args: Any) -> Any:
        total, parts = forward(self, *args)
        return (total * float("nan") if signals.get(done + 1) == "nan" else total), parts

    def counted(self: Loop, *args: Any) -> Any:
        nonlocal done
        parts = step(self, *args)
        done += 1
        if done in signals:
            os.kill(os.getpid(), getattr(signal, signals[done]))
        return parts

    setattr(Loop, "step", counted)  # noqa: B010
    setattr(Trainee, "forward", broken)  # noqa: B010


def start(phase: dict[str, Any], rank: int, world: int, port: int, out: int, err: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.dup2(out, 1)
    os.dup2(err, 2)
    torch.set_num_threads(1)
    if world > 1:
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
        os.environ.update({name: str(value) for name, value in {**ranks, **place}.items()})
    arm({step: name for who, step, name in phase.get("signals", []) if who == rank})
    code = main(phase["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def play(phase: dict[str, Any]) -> dict[str, Any]:
    world = phase.get("world", 1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pids = [start(phase, rank, world, port, out.fileno(), err.fileno()) for rank in range(world)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    return {"codes": codes, "out": texts[0], "err": texts[1]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(play(json.loads(line))), flush=True)
