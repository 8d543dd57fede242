"""Numbers about the service in Prometheus' text format 0.0.4; none of them tells anything about a picture.

metrics = Metrics()
metrics.requests.add(1, "/v1/predict", "POST", "200")
metrics.text()
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Sequence


MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Counter:
    """Sums that only grow, one for each set of label values; safe between threads."""

    kind = "counter"

    def __init__(self, name: str, what: str, labels: Sequence[str] = ()) -> None:
        self.name, self.what, self._labels = name, what, tuple(labels)
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, amount: float, *values: str) -> None:
        """Adds to the sum of these label values."""
        with self._lock:
            self._values[values] = self._values.get(values, 0.0) + amount

    def lines(self) -> list[str]:
        """Its samples."""
        with self._lock:
            return [f"{self.name}{_braces(self._labels, values)} {_number(sum_)}" for values, sum_ in sorted(self._values.items())]


class Gauge:
    """A number that is read when it is asked for."""

    kind = "gauge"

    def __init__(self, name: str, what: str, read: Callable[[], float]) -> None:
        self.name, self.what, self._read = name, what, read

    def lines(self) -> list[str]:
        """Its sample."""
        return [f"{self.name} {_number(self._read())}"]


class Histogram:
    """How often a value was at most each bound, one row of counts for each set of label values; safe between threads."""

    kind = "histogram"

    def __init__(self, name: str, what: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self.name, self.what, self._bounds, self._labels = name, what, tuple(bounds), tuple(labels)
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, value: float, *values: str) -> None:
        """Counts a value."""
        with self._lock:
            counts, total = self._rows.setdefault(values, ([0] * (len(self._bounds) + 1), [0.0]))
            counts[bisect.bisect_left(self._bounds, value)] += 1
            total[0] += value

    def lines(self) -> list[str]:
        """Its samples; the counts are cumulative."""
        found = []
        with self._lock:
            for values, (counts, total) in sorted(self._rows.items()):
                below = 0
                for bound, count in zip((*map(_number, self._bounds), "+Inf"), counts, strict=True):
                    below += count
                    found.append(f"{self.name}_bucket{_braces((*self._labels, 'le'), (*values, bound))} {below}")
                found.append(f"{self.name}_sum{_braces(self._labels, values)} {_number(total[0])}")
                found.append(f"{self.name}_count{_braces(self._labels, values)} {below}")
        return found


class Metrics:
    """All of them; `queue` reads how many pictures are under way."""

    def __init__(self, queue: Callable[[], float]) -> None:
        self.requests = Counter("evenface_requests_total", "Answers by route, method and status.", ("route", "method", "status"))
        self.seconds = Histogram("evenface_request_seconds", "From the first byte of a request to its answer.", SECONDS, ("route",))
        self.refusals = Counter("evenface_refusals_total", "Requests and pictures that were refused, by reason.", ("reason",))
        self.pictures = Counter("evenface_pictures_total", "Pictures that were looked at.")
        self.faces = Counter("evenface_faces_total", "Faces that were found.")
        self.abandoned = Counter("evenface_abandoned_total", "Requests whose client hung up before the answer.")
        self.queue = Gauge("evenface_queue_pictures", "Pictures that are under way: being decoded, waiting or computed.", queue)
        self.batch = Histogram("evenface_batch_pictures", "Pictures that went through the networks at once.", PICTURES)
        self.batch_seconds = Histogram("evenface_batch_seconds", "What a batch took.", SECONDS)

    def text(self) -> str:
        """The whole page."""
        found = []
        for metric in vars(self).values():
            found += [f"# HELP {metric.name} {metric.what}", f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(found) + "\n"


def _braces(labels: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return f"{value:.10g}"
