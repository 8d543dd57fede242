"""The few forms that a card is written in: a table, a rate, a rate with its interval.

table(("class", "recall"), [("fear", rate(0.5, [0.4, 0.6]))])          # the second column is right-aligned
rate(0.5, [0.4, 0.6])                                                  # "50.0 [40.0, 60.0]", percent
share(41, 83)                                                          # "49.4 % [38.9, 59.9]", Wilson's interval

No sign is escaped: every reader of Markdown, also the small one of the web page, takes what stands here as it stands. Names with an
underscore come in backticks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evenface.evaluation.intervals import wilson


def table(head: Sequence[str], rows: Iterable[Sequence[str]], last: Iterable[Sequence[str]] = ()) -> str:
    """A Markdown table, a line per row; the first column is left-aligned, the others right-aligned, the rows of `last` are bold."""
    align = ["---" if index == 0 else "--:" for index in range(len(head))]
    bold = [[f"**{cell}**" if cell else "" for cell in row] for row in last]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(head), align, *map(list, rows), *bold])


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns of text, without a head."""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])


def percent(value: float | None) -> str:
    """A rate in [0, 1] as percent with one decimal; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def rate(value: float | None, interval: Sequence[float | None] | None) -> str:
    """`49.4 [38.9, 59.9]`, percent; the value alone where all resamples gave the same one."""
    if value is None or interval is None or interval[0] == interval[1]:
        return percent(value)
    return f"{percent(value)} [{percent(interval[0])}, {percent(interval[1])}]"


def share(hits: int, trials: int) -> str:
    """`49.4 % [38.9, 59.9]` for hits among trials, with Wilson's interval."""
    low, high = wilson(hits, trials)
    return f"{percent(hits / trials)} % [{percent(float(low))}, {percent(float(high))}]"


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
