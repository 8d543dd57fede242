"""Prometheus' text format, by hand and by a strict reader."""

from __future__ import annotations

import re

from evenface.serve.metrics import Counter, Gauge, Histogram

from .conftest import Bench, part, picture


def test_a_counter_by_hand() -> None:
    counter = Counter("n_total", "Things.", ("kind",))
    assert counter.lines() == []
    counter.add(2, "a")
    counter.add(1, 'b"\\\n')
    counter.add(0.5, "a")
    assert counter.lines() == ['n_total{kind="a"} 2.5', 'n_total{kind="b\\"\\\\\\n"} 1']
    assert Counter("m_total", "Things.").lines() == ["m_total 0"]


def test_a_histogram_by_hand() -> None:
    histogram = Histogram("s", "Sizes.", (1, 2.5))
    for value in (0.5, 1, 2, 3):
        histogram.observe(value)
    assert histogram.lines() == ['s_bucket{le="1"} 2', 's_bucket{le="2.5"} 3', 's_bucket{le="+Inf"} 4', "s_sum 6.5", "s_count 4"]


def test_a_gauge_is_read_when_asked() -> None:
    values = [3.0]
    gauge = Gauge("g", "Now.", lambda: values[0])
    assert gauge.lines() == ["g 3"]
    values[0] = 4
    assert gauge.lines() == ["g 4"]


SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+-]+)')


def test_the_page_follows_the_format(bench: Bench) -> None:
    bench.client.post("/v1/predict", files=[part(picture(0, [(10, 10), (60, 40)])), part(picture(1))])
    bench.client.post("/v1/predict", files=[part(b"x")])
    answer = bench.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    kinds: dict[str, str] = {}
    found: dict[str, float] = {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in kinds or kinds.get(base) == "histogram", line
            assert line.rpartition(" ")[0] not in found
            found[line.rpartition(" ")[0]] = float(match[3])
    assert found["evenface_pictures_total"] == 2
    assert found["evenface_faces_total"] == 3
    assert found["evenface_queue_pictures"] == 0
    assert found['evenface_refusals_total{reason="not-an-image"}'] == 1
    assert found['evenface_requests_total{route="/v1/predict",method="POST",status="200"}'] == 1
    assert found['evenface_request_seconds_count{route="/v1/predict"}'] == 2
    assert found["evenface_batch_pictures_sum"] == 4  # with the two of the warm-up
