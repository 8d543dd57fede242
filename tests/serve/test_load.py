"""Under load: sheds with 503 and recovers, gives up after the time limit, drops what nobody waits for, fails one picture alone."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from evenface.serve.images import decode

from ..predict.conftest import with_faces
from .conftest import Bench, Make, ask, encoded, part, picture
from .test_uploads import FORM, HEAD, TAIL


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def post(crowd: ThreadPoolExecutor, bench: Bench, seed: int = 0, count: int = 1) -> Future[Any]:
    return crowd.submit(bench.client.post, "/v1/predict", files=[part(picture(seed + i)) for i in range(count)])


def picture_size() -> int:
    width, height = Image.open(io.BytesIO(picture(0))).size
    return int(width * height)


def wait_for(bench: Bench, under_way: int) -> None:
    deadline = time.monotonic() + 20
    while bench.service.batcher.under_way != under_way:
        assert time.monotonic() < deadline, bench.service.batcher.under_way
        time.sleep(0.002)


def test_requests_are_answered_together(make: Make, crowd: ThreadPoolExecutor) -> None:
    bench = make(batch_size=4, batch_wait_ms=500)
    bench.search.open.clear()
    answers = [post(crowd, bench, 0)]
    assert bench.search.entered.wait(10)
    answers += [post(crowd, bench, seed) for seed in range(1, 9)]
    wait_for(bench, 9)
    while len(bench.service.batcher._jobs) < 8:
        time.sleep(0.002)
    bench.search.open.set()
    results = [answer.result().json()["results"][0] for answer in answers]
    assert bench.search.batches == [1, 4, 4]
    page = bench.client.get("/metrics").text
    assert 'evenface_batch_pictures_bucket{le="4"} 5\n' in page  # with the two of the warm-up
    for seed, result in enumerate(results):
        expected = bench.recognizer.recognize([with_faces(seed, [(10, 10)])], ["a.png"])[0].to_dict()["faces"]
        assert result["faces"][0]["scores"] == pytest.approx(expected[0]["scores"], abs=1e-4)


def test_a_full_queue_sheds_and_recovers(make: Make, crowd: ThreadPoolExecutor) -> None:
    bench = make(queue=3, max_files=2, batch_size=1)
    bench.search.open.clear()
    first = post(crowd, bench)
    assert bench.search.entered.wait(10)
    second = post(crowd, bench, 5)
    wait_for(bench, 2)
    refused = [post(crowd, bench, 0, count=2).result()]  # one place is left, two are needed
    third = post(crowd, bench, 7)
    wait_for(bench, 3)
    refused += [post(crowd, bench).result() for _ in range(5)]
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("/busy")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    bench.search.open.set()
    assert [answer.result().status_code for answer in (first, second, third)] == [200] * 3
    wait_for(bench, 0)
    assert post(crowd, bench, 0, count=2).result().status_code == 200
    assert bench.service._pixels.free == bench.service._pixels.size
    assert 'evenface_refusals_total{reason="busy"} 6\n' in bench.client.get("/metrics").text


def test_the_time_limit(make: Make, crowd: ThreadPoolExecutor) -> None:
    bench = make(timeout=0.5)
    bench.search.open.clear()
    first = post(crowd, bench, 0)
    assert bench.search.entered.wait(10)
    second = post(crowd, bench, 1)
    for answer in (first.result(10), second.result(10)):
        assert answer.status_code == 504
        assert answer.json()["type"].endswith("/time-limit")
    bench.search.open.set()
    wait_for(bench, 0)
    assert bench.search.batches == [1]  # the second was never computed
    assert post(crowd, bench).result().status_code == 200
    assert bench.service._pixels.free == bench.service._pixels.size
    assert bench.service._bodies.free == bench.service._bodies.size


def test_a_picture_that_is_still_being_decoded_holds_its_memory(
    make: Make, crowd: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, begun, go = make(timeout=0.5), threading.Event(), threading.Event()

    def slow(data: bytes) -> Any:
        begun.set()
        assert go.wait(20)
        return decode(data)

    with monkeypatch.context() as patch:
        patch.setattr("evenface.serve.service.decode", slow)
        first = post(crowd, bench)
        assert begun.wait(10)
        assert first.result(10).status_code == 504
    assert bench.service._pixels.size - bench.service._pixels.free == picture_size()
    go.set()
    deadline = time.monotonic() + 10
    while bench.service._pixels.free < bench.service._pixels.size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert post(crowd, bench).result().status_code == 200


def test_who_hangs_up_is_not_computed_for(make: Make, crowd: ThreadPoolExecutor) -> None:
    bench = make()
    bench.search.open.clear()
    first = post(crowd, bench)
    assert bench.search.entered.wait(10)
    headers = [(b"content-type", FORM["content-type"].encode())]

    async def leaves() -> int:
        gone = asyncio.Event()
        asking = asyncio.create_task(ask(bench.client.app, "/v1/predict", [HEAD + picture(1) + TAIL], headers, gone))
        while bench.service.batcher.under_way < 2 or not bench.service.batcher._jobs:
            await asyncio.sleep(0.002)
        gone.set()
        return (await asking)[0]

    assert asyncio.run(leaves()) == 499
    assert bench.service.batcher.under_way == 1
    assert not bench.service.batcher._jobs
    bench.search.open.set()
    assert first.result().status_code == 200
    assert bench.search.batches == [1]
    assert "evenface_abandoned_total 1\n" in bench.client.get("/metrics").text


def test_pictures_wait_for_memory_and_all_are_answered(make: Make, crowd: ThreadPoolExecutor) -> None:
    """Room for four pictures at a time, and twenty that come at once."""
    bench = make(max_pixels=96 * 128, queue=64, batch_size=2)
    answers = [post(crowd, bench, seed, count=5) for seed in (0, 5, 10, 15)]
    assert [len(answer.result().json()["results"]) for answer in answers] == [5] * 4
    assert all(result["error"] is None for answer in answers for result in answer.result().json()["results"])
    deadline = time.monotonic() + 5
    while bench.service._pixels.free < bench.service._pixels.size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sum(bench.search.batches) == 20


def test_a_fault_is_told_without_a_word_about_the_picture(
    bench: Bench, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pixels = with_faces(0, [(10, 10)])
    pixels[0, 0] = 77
    bench.search.error = RuntimeError("the person is frightened, secret.png")
    answer = bench.client.post("/v1/predict", files=[part(encoded(pixels), "secret.png")])
    assert answer.status_code == 500
    assert "frightened" not in answer.text
    several = bench.client.post("/v1/predict", files=[part(picture()), part(encoded(pixels), "secret.png")])
    assert several.status_code == 200
    good, bad = several.json()["results"]
    assert len(good["faces"]) == 1
    assert bad["error"]["status"] == 500
    said = caplog.text + "".join(capfd.readouterr())
    assert "RuntimeError" in said
    assert "conftest.py" in said  # where it happened
    assert "frightened" not in said
    assert "secret" not in said


def test_the_event_loop_is_never_held_up(make: Make, crowd: ThreadPoolExecutor) -> None:
    """While a large picture is decoded and the networks are busy, the probe answers."""
    import numpy as np

    bench = make()
    large = encoded(np.random.default_rng(0).integers(0, 255, (1200, 1500, 3), dtype=np.uint8), compress_level=1)
    working = [crowd.submit(bench.client.post, "/v1/predict?cropped=1", files=[part(large)]) for _ in range(3)]
    slowest = 0.0
    asked = 0
    while not all(answer.done() for answer in working):
        begin = time.perf_counter()
        assert bench.client.get("/healthz").status_code == 200
        slowest, asked = max(slowest, time.perf_counter() - begin), asked + 1
    assert [answer.result().status_code for answer in working] == [200] * 3
    assert asked > 3
    assert slowest < 2


def test_two_threads_never_compute_at_once(make: Make, crowd: ThreadPoolExecutor) -> None:
    bench = make(batch_size=2)
    seen: set[int] = set()
    real = bench.recognizer.scores
    bench.recognizer.scores = lambda *words: (seen.add(threading.get_ident()), real(*words))[1]  # type: ignore[method-assign]
    answers = [post(crowd, bench, seed) for seed in range(10)]
    assert {answer.result().status_code for answer in answers} == {200}
    assert len(seen) == 1
    assert seen != {threading.get_ident()}
