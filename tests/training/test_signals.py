"""Ctrl-C, SIGTERM and kill -9, as real signals to real processes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig
from evenface.training.loop import Interrupted, Loop
from evenface.training.run import train


Settings = Callable[..., TrainConfig]
Play = Callable[..., list[dict[str, Any]]]


def test_stopped_says_how_to_go_on_and_killed_goes_on_from_the_last_save(
    settings: Settings, play: Play, whole: Path, assert_same: Callable[..., None]
) -> None:
    config = settings(save_minutes=0.0)
    again = ["train", "--resume", str(config.folder)]
    stopped, twice, killed, resumed, finished = play(
        {"config": config, "signals": [[0, 2, "SIGINT"]]},
        {"words": again, "signals": [[0, 1, "SIGTERM"]]},
        {"words": again, "signals": [[0, 2, "SIGKILL"]]},
        {"words": again},
        {"words": again},
    )
    line = "evenface train: Stopped by {} at epoch 1, step {}; the state is saved. Go on with: evenface train --resume {}\n"
    assert (stopped["codes"], stopped["err"]) == ([1], line.format("Ctrl-C", 2, config.folder))
    assert (twice["codes"], twice["err"]) == ([1], line.format("SIGTERM", 3, config.folder))
    assert killed["codes"] == [-signal.SIGKILL]
    assert (resumed["codes"], resumed["err"]) == ([0], "")
    assert "resumed   at epoch 2, after step 0" in resumed["out"]  # the fifth step was done, not saved
    assert_same(whole, config.folder)
    assert (finished["codes"], finished["err"]) == ([0], "")
    assert "finished" in finished["out"]


def test_a_second_signal_acts_at_once_unless_it_is_the_first_handed_on(
    settings: Settings, at_step: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    step = Loop.step

    def signalled(self: Loop, *args: Any) -> Any:
        parts = step(self, *args)
        for moment in moments:
            monkeypatch.setattr(time, "monotonic", lambda moment=moment: clock[0] + moment)
            signal.raise_signal(signal.SIGINT)
        return parts

    monkeypatch.setattr(Loop, "step", signalled)
    handler = signal.getsignal(signal.SIGINT)
    moments = [100.0, 101.5]
    with pytest.raises(Interrupted, match="Stopped by Ctrl-C"):
        train(settings(output="handed-on"))
    moments = [200.0, 203.0]
    with pytest.raises(KeyboardInterrupt):
        train(settings(output="twice"))
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP on this system")
@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_goes_stops_and_saves_but_not_under_nohup(nohup: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    step, config = Loop.step, settings(epochs=1)

    def hung_up(self: Loop, *args: Any) -> Any:
        parts = step(self, *args)
        signal.raise_signal(signal.SIGHUP)
        return parts

    monkeypatch.setattr(Loop, "step", hung_up)
    given = signal.SIG_IGN if nohup else signal.SIG_DFL
    before = signal.signal(signal.SIGHUP, given)
    try:
        if nohup:
            train(config)
        else:
            with pytest.raises(Interrupted, match="Stopped by SIGHUP at epoch 1, step 1; the state is saved"):
                train(config)
        assert signal.getsignal(signal.SIGHUP) is given
    finally:
        signal.signal(signal.SIGHUP, before)
    assert load_state(config.folder / "last.ckpt")["state"]["epoch"] == int(nohup)


def test_in_a_thread_signals_are_left_to_the_main_one(settings: Settings) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    config = settings(epochs=1)
    thread = threading.Thread(target=train, args=(config,))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert load_state(config.folder / "last.ckpt")["state"]["epoch"] == 1
