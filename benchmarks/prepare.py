"""Speed and memory of `evenface data prepare` on a large set: memory must not grow with the number of pictures.

    python benchmarks/prepare.py                         # 20,000 rows, a minute
    python benchmarks/prepare.py --rows 300000 -j 2      # AffectNet's number of rows

The set is a table of that many rows over a few hundred drawn pictures on the disk, so that it is as long as a real one and needs no room.
The default detector is none: reading, cutting, encoding and packing are measured, and the search is left out. Memory is what the
main process and its workers hold (USS: private pages) by /proc, sampled twice a second, from the first finished picture on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

from evenface.data.manifest import Manifest, build
from evenface.data.prepare import prepare
from evenface.data.synthetic import synthetic_face
from evenface.labels import BASIC


PICTURES = 300
PAUSE = 0.5  # seconds between two samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="different pictures on the disk")
    parser.add_argument("--side", type=int, default=112, help="of a picture, in pixels")
    parser.add_argument("--size", type=int, default=112, help="of a stored face")
    parser.add_argument("--detector", default="none")
    parser.add_argument("-j", "--workers", type=int, default=2)
    args = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        print("The memory of processes is read from /proc, which this system does not have.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        manifest = long_set(Path(place) / "raw", args.rows, args.pictures, args.side)
        watch = Watch()
        start = time.perf_counter()
        found = prepare(
            manifest, Path(place) / "out", detector=args.detector, size=args.size, workers=args.workers, progress=watch.progress
        )  # fmt: skip
        seconds = time.perf_counter() - start
        watch.stop()
        written = sum(path.stat().st_size for path in (Path(place) / "out").iterdir())
    kept = sum(sum(per.values()) for per in found.kept.values())
    print(f"{args.rows:,} rows of {args.side} px, {args.detector}, {args.workers} workers, stored at {args.size} px")
    print(
        f"{seconds:.1f} s, {args.rows / seconds:,.0f} pictures a second; kept {kept:,}; {found.shards} shards, {written / 2**20:,.0f} MiB\n"
    )
    print(watch.table())
    return 0


def long_set(root: Path, rows: int, pictures: int, side: int) -> Manifest:
    """`rows` rows over `pictures` files; every class has its share."""
    root.mkdir(parents=True)
    for i in range(pictures):
        Image.fromarray(synthetic_face(BASIC[i % len(BASIC)], size=side, seed=i)).save(root / f"{i}.png")
    numbers = [row % pictures for row in range(rows)]
    columns = {
        "id": [f"{row:07d}" for row in range(rows)],
        "split": ["test" if row >= 0.8 * rows else "train" for row in range(rows)],
        "label": [BASIC[number % len(BASIC)] for number in numbers],
        "image": [f"{number}.png" for number in numbers],
    }
    return build(columns, BASIC, name="long", root=root)


class Watch:
    """Samples the memory in a thread; `progress` tells it how far the work is."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int, int]] = []  # share of the rows done, bytes of the main process, of its workers
        self._share = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def progress(self, done: int, total: int) -> None:
        self._share = done / total

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            if 0 < self._share < 1:
                self.samples.append((self._share, private("self"), sum(map(private, children()))))

    def table(self) -> str:
        """The median memory of each tenth of the work, and first, last and highest sample."""
        if not self.samples:
            return "Too short for a sample of the memory; take more --rows."
        lines = [f"{'done':>6} {'main':>10} {'workers':>10}  MiB, median of the samples"]
        for tenth in range(10):
            inside = [sample for sample in self.samples if int(10 * sample[0]) == tenth]
            if inside:
                main, workers = (statistics.median(sample[i] for sample in inside) / 2**20 for i in (1, 2))
                lines.append(f"{10 * tenth + 10:>5}% {main:>10.0f} {workers:>10.0f}")
        for name, pick in (("first", self.samples[0]), ("last", self.samples[-1]), ("max", max(self.samples, key=lambda s: s[1] + s[2]))):
            lines.append(f"{name:>6} {pick[1] / 2**20:>10.0f} {pick[2] / 2**20:>10.0f}")
        return "\n".join(lines)


def private(pid: str) -> int:
    """The bytes of a process that are its own; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def children() -> list[str]:
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return found


if __name__ == "__main__":
    sys.exit(main())
