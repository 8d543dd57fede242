"""Jobs of many requests, done together by one thread.

    batcher = Batcher(work, capacity=64, size=8, wait=0.005)        # work: list of jobs -> list of answers
    batcher.start()
    with batcher.reserve(1) as slots:                               # raises Full
        future = batcher.submit(job, slots)
    future.result()
    batcher.stop()                                                  # finishes what waits

A batch takes what waits, up to `size`. It waits for more only while a reserved job has not come yet, and never longer than `wait` after its
first job came, so a lone request is not held up. A future that is cancelled before its turn is never computed.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar


J = TypeVar("J")
A = TypeVar("A")


class Full(Exception):
    """No room for the job.

    Attributes:
        retry_after: seconds after which there may be.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("the queue is full")
        self.retry_after = retry_after


class Slots:
    """Places in the queue; those that no job has taken are free again when the `with` block ends."""

    def __init__(self, count: int, release: Callable[[int], None]) -> None:
        self.left = count
        self._release = release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        left, self.left = self.left, 0
        self._release(left)


class Batcher(Generic[J, A]):
    """One thread that computes, and the queue before it.

    Args:
        work: as many answers as jobs, in their order; runs in the thread. Where it raises, each job is tried alone, and only those that
            raise again fail.
        capacity: jobs that may be under way at once, reserved ones included.
        size: most jobs in a batch.
        wait: seconds for which a batch waits at most.
        observe: told the size of each batch and the seconds it took.
    """

    def __init__(
        self,
        work: Callable[[Sequence[J]], Sequence[A]],
        *,
        capacity: int,
        size: int,
        wait: float,
        observe: Callable[[int, float], object] = lambda size, seconds: None,
    ) -> None:
        self._work, self._capacity, self._size, self._wait, self._observe = work, capacity, size, wait, observe
        self._changed = threading.Condition()
        self._jobs: deque[tuple[float, J, Future[A]]] = deque()
        self._under_way = 0
        self._stopping = False
        self._pace = 0.1  # seconds a job takes, a running mean
        self._thread = threading.Thread(target=self._run, name="evenface-networks", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more jobs, finishes those that wait, and ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def under_way(self) -> int:
        """Jobs that are reserved, waiting or computed."""
        return self._under_way

    @property
    def has_room(self) -> bool:
        """Whether one more job would be taken."""
        return self._thread.is_alive() and not self._stopping and self._under_way < self._capacity

    @property
    def retry_after(self) -> int:
        """Seconds until about half of what is under way will be done, 1 to 60."""
        return min(60, max(1, math.ceil(self._under_way * self._pace / 2)))

    def reserve(self, count: int) -> Slots:
        """Places for `count` jobs, before any work is put into them.

        Raises:
            Full: so many are not free.
        """
        with self._changed:
            if self._stopping or self._under_way + count > self._capacity:
                raise Full(self.retry_after)
            self._under_way += count
        return Slots(count, self._release)

    def submit(self, job: J, slots: Slots) -> Future[A]:
        """Queues a job in a reserved place, which is free again when its future is done."""
        future: Future[A] = Future()
        entry = (time.monotonic(), job, future)
        with self._changed:
            slots.left -= 1
            self._jobs.append(entry)
            self._changed.notify_all()
        future.add_done_callback(lambda done: self._done(entry, done))
        return future

    def _done(self, entry: tuple[float, J, Future[A]], future: Future[A]) -> None:
        if future.cancelled():  # its pixels are let go now, not when its turn comes
            with self._changed:
                for index, waiting in enumerate(self._jobs):
                    if waiting is entry:
                        del self._jobs[index]
                        break
        self._release(1)

    def _release(self, count: int) -> None:
        with self._changed:
            self._under_way -= count
            self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._next():
            live = [(job, future) for _, job, future in batch if future.set_running_or_notify_cancel()]
            if live:
                self._do(live)
            del batch, live  # nothing of a picture is held while the thread waits

    def _do(self, live: Sequence[tuple[J, Future[A]]]) -> None:
        begin = time.monotonic()
        answers = self._answers([job for job, _ in live])
        took = time.monotonic() - begin
        self._pace += 0.2 * (took / len(live) - self._pace)
        self._observe(len(live), took)  # first, so that whoever has an answer finds it counted
        for (_, future), answer in zip(live, answers, strict=True):
            if isinstance(answer, _Failed):
                future.set_exception(answer.error)
            else:
                future.set_result(answer)

    def _next(self) -> list[tuple[float, J, Future[A]]]:
        """The next batch; empty when it is time to end."""
        with self._changed:
            while True:
                while not self._jobs:
                    if self._stopping:
                        return []
                    self._changed.wait()
                until = self._jobs[0][0] + self._wait
                while 0 < len(self._jobs) < min(self._size, self._under_way):  # one more is on its way
                    left = until - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        break
                if self._jobs:  # not all were cancelled meanwhile
                    return [self._jobs.popleft() for _ in range(min(self._size, len(self._jobs)))]

    def _answers(self, jobs: Sequence[J]) -> Sequence[A | _Failed]:
        try:
            return self._work(jobs)
        except Exception as error:
            return [_Failed(error)] if len(jobs) == 1 else [self._answers([job])[0] for job in jobs]


class _Failed(NamedTuple):
    """In place of an answer: what the work raised."""

    error: Exception
