"""Chunks of pictures through some processes, back in their order.

    with Workers("mtcnn", cutting, processes=4) as workers:
        for faces in workers.run(chunks): ...            # a list per chunk, in the order of the chunks

A few chunks are ahead of the consumer, never all of them, so memory does not grow with the set. The processes are started afresh
(`spawn`): a script that calls this keeps its own work under `if __name__ == "__main__"`, as always with Python's processes.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from evenface.data.cutting import Cutter, Cutting, Picture, Stored
from evenface.errors import TrainingError
from evenface.faces.detection import Search


AHEAD = 4  # chunks in flight per process

Chunk = Sequence[Picture]
Faces = list[Stored | str]


class Workers:
    """Processes that cut faces out; one alone works in this process.

    Raises:
        ConfigError: an unknown detector or a value out of range. ModelError: its weights are missing. (Found here, not in a process.)
    """

    def __init__(self, detector: str | Search, cutting: Cutting, processes: int) -> None:
        self._cutter = Cutter(detector, cutting)
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, _begin, (detector, cutting))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, chunks: Iterable[Chunk]) -> Iterator[Faces]:
        """What became of each chunk, in their order.

        Raises:
            TrainingError: a process died.
        """
        if self._pool is None:
            yield from map(self._cutter, chunks)
            return
        left = iter(chunks)
        first = list(itertools.islice(left, AHEAD * self._processes))
        try:
            with _ctrl_c_ignored():  # inherited by the processes, which start here: each as soon as there is a chunk for it
                flying = collections.deque(self._pool.submit(_cut, chunk) for chunk in first)
            while flying:
                faces = flying.popleft().result()
                for chunk in itertools.islice(left, 1):
                    flying.append(self._pool.submit(_cut, chunk))
                yield faces
        except BrokenProcessPool:
            raise TrainingError(
                "A worker process died; it was killed, or memory ran out. What is finished stays: run the same command again, "
                "with fewer -j/--workers if memory was short."
            ) from None


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


# -------------------- in the processes

_given: tuple[str | Search, Cutting] | None = None
_cutter: Cutter | None = None


def _begin(detector: str | Search, cutting: Cutting) -> None:
    """Ctrl-C is the parent's to act on (also where it could not be ignored from the start), and nobody outlives a killed parent."""
    global _given
    _given = detector, cutting
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a child"
    threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _cut(chunk: Chunk) -> Faces:
    global _cutter
    if _cutter is None:
        assert _given is not None, "told in `_begin`"
        _cutter = Cutter(*_given)
    return _cutter(chunk)
