"""The queue: what goes together, what waits and how long, what is dropped, what fails alone, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import pytest

from evenface.serve.batching import Batcher, Full


class Work:
    """Doubles numbers; waits at its gate; a 13 is a fault."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        self.entered.release()
        assert self.open.wait(30)
        if 13 in jobs:
            raise ValueError("13")
        return [2 * job for job in jobs]


Make = Callable[..., Batcher[int, int]]


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def make(work: Work) -> Iterator[Make]:
    running: list[Batcher[int, int]] = []

    def start(**words: float) -> Batcher[int, int]:
        batcher: Batcher[int, int] = Batcher(work, **{"capacity": 100, "size": 4, "wait": 10.0, **words})  # type: ignore[arg-type]
        batcher.start()
        running.append(batcher)
        return batcher

    yield start
    work.open.set()
    for batcher in running:
        batcher.stop()


def put(batcher: Batcher[int, int], *jobs: int) -> list[Future[int]]:
    with batcher.reserve(len(jobs)) as slots:
        return [batcher.submit(job, slots) for job in jobs]


def blocked(batcher: Batcher[int, int], work: Work) -> Future[int]:
    """The thread is busy with a first job, 0, until the gate opens."""
    work.open.clear()
    (future,) = put(batcher, 0)
    assert work.entered.acquire(timeout=10)
    return future


def test_a_lone_job_does_not_wait(make: Make, work: Work) -> None:
    batcher = make(wait=10)
    begin = time.monotonic()
    assert put(batcher, 21)[0].result(10) == 42
    assert time.monotonic() - begin < 5
    assert batcher.under_way == 0


def test_what_waits_goes_together_up_to_the_size(make: Make, work: Work) -> None:
    batcher = make(wait=0)
    first = blocked(batcher, work)
    rest = put(batcher, *range(1, 11))
    work.open.set()
    assert [future.result(10) for future in (first, *rest)] == [2 * job for job in range(11)]
    assert work.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_a_reserved_job_is_waited_for(make: Make, work: Work) -> None:
    batcher = make(wait=10)
    with batcher.reserve(3) as slots:
        futures = [batcher.submit(1, slots)]
        time.sleep(0.1)
        assert work.batches == []
        futures += [batcher.submit(2, slots), batcher.submit(3, slots)]
        assert [future.result(10) for future in futures] == [2, 4, 6]
    assert work.batches == [[1, 2, 3]]


def test_but_not_for_longer_than_was_said(make: Make, work: Work) -> None:
    batcher = make(wait=0.2)
    with batcher.reserve(2) as slots:
        begin = time.monotonic()
        assert batcher.submit(1, slots).result(10) == 2
        assert time.monotonic() - begin >= 0.2
    assert work.batches == [[1]]


def test_and_not_when_it_will_not_come(make: Make, work: Work) -> None:
    batcher = make(wait=10)
    begin = time.monotonic()
    with batcher.reserve(2) as slots:
        future = batcher.submit(1, slots)
    assert future.result(10) == 2
    assert time.monotonic() - begin < 5


def test_a_full_queue_refuses_at_once(make: Make, work: Work) -> None:
    batcher = make(capacity=3, wait=0)
    first = blocked(batcher, work)
    rest = put(batcher, 1)
    with pytest.raises(Full) as full:
        batcher.reserve(2)
    assert 1 <= full.value.retry_after <= 60
    assert batcher.has_room
    with batcher.reserve(1):
        assert not batcher.has_room
    work.open.set()
    for future in (first, *rest):
        future.result(10)
    assert put(batcher, 5, 6, 7)[2].result(10) == 14


def test_a_cancelled_job_is_never_computed_and_frees_its_place(make: Make, work: Work) -> None:
    batcher = make(capacity=3, wait=0)
    first = blocked(batcher, work)
    second, third = put(batcher, 1, 2)
    assert second.cancel()
    assert batcher.under_way == 2
    assert [job for _, job, _ in batcher._jobs] == [2]  # its picture is let go at once
    put(batcher, 3)
    work.open.set()
    assert (first.result(10), third.result(10)) == (0, 4)
    assert 1 not in [job for batch in work.batches for job in batch]


def test_one_that_is_computed_cannot_be_cancelled(make: Make, work: Work) -> None:
    batcher = make()
    first = blocked(batcher, work)
    assert not first.cancel()
    work.open.set()
    assert first.result(10) == 0


def test_a_fault_is_the_faulty_ones_alone(make: Make, work: Work) -> None:
    batcher = make(wait=0)
    blocked(batcher, work)
    good, bad, last = put(batcher, 1, 13, 2)
    work.open.set()
    assert (good.result(10), last.result(10)) == (2, 4)
    with pytest.raises(ValueError, match="13"):
        bad.result(10)
    assert put(batcher, 8)[0].result(10) == 16
    assert batcher.under_way == 0


def test_the_end_finishes_what_waits_and_takes_no_more(make: Make, work: Work) -> None:
    batcher = make(wait=0)
    first = blocked(batcher, work)
    rest = put(batcher, *range(1, 7))
    ending = threading.Thread(target=batcher.stop)
    ending.start()
    while not batcher._stopping:
        time.sleep(0.001)
    with pytest.raises(Full):
        batcher.reserve(1)
    assert not batcher.has_room
    work.open.set()
    ending.join(10)
    assert [future.result(0) for future in (first, *rest)] == [2 * job for job in range(7)]


def test_many_threads_each_get_their_own(make: Make, work: Work) -> None:
    batcher = make(wait=0.001)
    wrong: list[int] = []

    def client(seed: int) -> None:
        for i in range(200):
            (future,) = put(batcher, 1000 * seed + i)
            if i % 7 == 3:
                future.cancel()
            elif future.result(10) != 2 * (1000 * seed + i):
                wrong.append(i)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert batcher.under_way == 0
    assert max(map(len, work.batches)) > 1


def test_whoever_has_an_answer_finds_it_counted(work: Work) -> None:
    given: list[Future[int]] = []
    counted: list[tuple[int, list[bool]]] = []
    batcher: Batcher[int, int] = Batcher(
        work, capacity=9, size=4, wait=10.0, observe=lambda size, seconds: counted.append((size, [future.done() for future in given]))
    )
    with batcher.reserve(2) as slots:
        given += [batcher.submit(job, slots) for job in (1, 13)]
    batcher.start()
    assert given[0].result(10) == 2
    assert isinstance(given[1].exception(10), ValueError)
    assert counted == [(2, [False, False])]
    batcher.stop()
