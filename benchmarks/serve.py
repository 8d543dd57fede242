"""The service under load: requests/s, latency, what batching brings, memory over time, and what happens when it is too much.

    python benchmarks/serve.py
    python benchmarks/serve.py --model runs/first --detector yunet --seconds 30 --minutes 10

A real server in a process of its own answers clients on the loopback, each of which sends its next request when it has its answer. Every
request carries one 640 x 480 JPEG with one face, scikit-image's astronaut (public domain; needs `pip install scikit-image`). Clients are
threads of this process and share the processor with the server. The rows with and without batching are measured in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


HEAD = b'--xx\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
TAIL = b"\r\n--xx--\r\n"
FORM = {"Content-Type": "multipart/form-data; boundary=xx"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: the model that ships")
    parser.add_argument("--detector", default="mtcnn")
    parser.add_argument("--threads", type=int, default=1, help="of the networks")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each row")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the measurement of memory")
    args = parser.parse_args()
    body = HEAD + photo() + TAIL
    detector = args.detector.partition(":")[0]
    print(f"{os.cpu_count()} cores, --threads {args.threads}, detector {detector}, {len(body) / 1024:.0f} KiB a request")
    speed(args, body)
    memory(args, body)
    overload(args, body)


def photo() -> bytes:
    from skimage import data

    image = np.full((480, 640, 3), 120, np.uint8)
    image[:, 80:560] = cv2.resize(data.astronaut()[:280, 90:370], (480, 480), interpolation=cv2.INTER_AREA)
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90)
    return out.getvalue()


@dataclasses.dataclass
class Server:
    port: int
    pid: int

    def resident(self) -> float:
        """MiB of memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def get(self, path: str) -> tuple[int, str]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        line.request("GET", path)
        answer = line.getresponse()
        found = answer.status, answer.read().decode()
        line.close()
        return found

    def number(self, name: str) -> float:
        """A sample of /metrics."""
        lines = self.get("/metrics")[1].splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


@contextlib.contextmanager
def server(args: argparse.Namespace, *words: str) -> Iterator[Server]:
    model = [] if args.model is None else ["--model", args.model]
    command = [sys.executable, "-m", "evenface", "serve", "--port", "0", "--detector", args.detector, "--threads", str(args.threads)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, *model, *words], stderr=log)
        try:
            found = None
            while found is None:
                if process.poll() is not None:
                    log.seek(0)
                    sys.exit(log.read().decode())
                time.sleep(0.1)
                log.seek(0)
                text = log.read().decode()
                with contextlib.suppress(OSError, IndexError, ValueError):
                    port = int(text.split("://")[1].split(":")[1].split("/")[0])
                    if (ready := Server(port, process.pid)).get("/readyz")[0] == 200:
                        found = ready
            yield found
        finally:
            process.terminate()
            process.wait(120)


@dataclasses.dataclass
class Load:
    """What clients saw: statuses, and the seconds of each answer by status."""

    statuses: Counter[int]
    seconds: dict[int, list[float]]
    took: float

    def milliseconds(self, share: float, status: int = 200) -> float:
        values = sorted(self.seconds.get(status, []))
        return 1000 * values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def load(place: Server, body: bytes, clients: int, seconds: float, pause: float = 0.0) -> Load:
    """`clients` threads for so long; after a 503 each pauses so many seconds."""
    until = time.monotonic() + seconds
    rows: list[tuple[int, float]] = []

    def client() -> None:
        line = http.client.HTTPConnection("127.0.0.1", place.port, timeout=120)
        while time.monotonic() < until:
            begin = time.monotonic()
            line.request("POST", "/v1/predict", body, FORM)
            answer = line.getresponse()
            answer.read()
            rows.append((answer.status, time.monotonic() - begin))
            if answer.status == 503:
                time.sleep(pause)
        line.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds_of: dict[int, list[float]] = {}
    for status, took in rows:
        seconds_of.setdefault(status, []).append(took)
    return Load(Counter(status for status, _ in rows), seconds_of, time.monotonic() - begin)


def speed(args: argparse.Namespace, body: bytes) -> None:
    most = str(max(64, *args.clients))
    print(f"\n{'clients':>7}  {'batching':>8}  {'answers/s':>9}  {'p50 ms':>8}  {'p99 ms':>8}  {'in a batch':>10}  not 200")
    with server(args, "--queue", most) as batched, server(args, "--queue", most, "--batch-size", "1") as single:
        for clients in args.clients:
            for name, place in (("8", batched), ("none", single)):
                load(place, body, clients, 1.0)
                before = [place.number(f"evenface_batch_pictures_{what}") for what in ("sum", "count")]
                seen = load(place, body, clients, args.seconds)
                pictures, batches = (
                    place.number(f"evenface_batch_pictures_{w}") - b for w, b in zip(("sum", "count"), before, strict=True)
                )
                good = seen.statuses[200]
                row = f"{clients:>7}  {name:>8}  {good / seen.took:>9.1f}  {seen.milliseconds(0.5):>8.0f}  {seen.milliseconds(0.99):>8.0f}"
                print(f"{row}  {pictures / max(1, batches):>10.1f}  {seen.statuses.total() - good}", flush=True)


def memory(args: argparse.Namespace, body: bytes) -> None:
    with server(args) as place:
        load(place, body, 8, 5.0)
        samples = [place.resident()]
        until = time.monotonic() + 60 * args.minutes
        answers = 0
        while time.monotonic() < until:
            answers += load(place, body, 8, min(10.0, max(0.1, until - time.monotonic()))).statuses[200]
            samples.append(place.resident())
    half = len(samples) // 2
    print(
        f"\nmemory, 8 clients for {args.minutes:g} min ({answers:,} answers): {samples[0]:.0f} MiB at first, {samples[-1]:.0f} at last, "
        f"{max(samples):.0f} at most; median of the first half {statistics.median(samples[:half]):.0f}, of the second "
        f"{statistics.median(samples[half:]):.0f}"
    )


def overload(args: argparse.Namespace, body: bytes) -> None:
    with server(args, "--queue", "16") as place:
        seen = load(place, body, 64, args.seconds, pause=0.1)
        begin = time.monotonic()
        after = load(place, body, 1, 2.0)
        back = place.get("/readyz")[0]
    counts = ", ".join(f"{count:,} x {status}" for status, count in sorted(seen.statuses.items()))
    print(
        f"\noverload, 64 clients on --queue 16 for {args.seconds:g} s: {counts}; an answer p50 {seen.milliseconds(0.5):.0f} ms, p99 "
        f"{seen.milliseconds(0.99):.0f} ms; a refusal p50 {seen.milliseconds(0.5, 503):.0f} ms\n"
        f"right after it, 1 client: {dict(after.statuses)}, p50 {after.milliseconds(0.5):.0f} ms, readyz {back} "
        f"({time.monotonic() - begin:.1f} s later)"
    )


if __name__ == "__main__":
    main()
