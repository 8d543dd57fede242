"""The signals that ask for an end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that has gone, unless `nohup` shuts it out."""

from __future__ import annotations

import signal


def ending_signals() -> list[signal.Signals]:
    """Those that a long work answers by saving what it has."""
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    more = [] if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN else [hangup]
    return [signal.SIGINT, signal.SIGTERM, *more]


def name_of_signal(number: int) -> str:
    """As a user knows it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
