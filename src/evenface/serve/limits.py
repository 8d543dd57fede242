"""What one request may cost, and how much may be under way at once.

Limits(max_bytes=16 << 20, max_files=4)
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from typing import Any

from evenface.errors import ConfigError


MOST_PIXELS = 89_000_000  # above it Pillow warns of a decompression bomb by itself
BODIES = 8  # largest requests that may be held at once
PICTURES = 4  # largest pictures that may be held at once, decoded


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The settings of the service.

    Attributes:
        max_bytes: of a request's body.
        max_pixels: of a picture, width times height.
        max_files: pictures in a request.
        max_faces: in a picture; the largest are kept.
        queue: pictures that may be under way at once; a request that would bring more is refused with 503.
        batch_size: pictures that go through the networks at once.
        batch_wait_ms: how long a picture waits at most for others that are on their way.
        timeout: seconds in which a body must have come, and then an answer be found.

    Raises:
        ConfigError: a value out of range.
    """

    max_bytes: int = 32 << 20
    max_pixels: int = 50_000_000
    max_files: int = 16
    max_faces: int = 64
    queue: int = 64
    batch_size: int = 8
    batch_wait_ms: float = 5.0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_files", "max_faces", "queue", "batch_size"):
            self._need(name, getattr(self, name) >= 1, "at least 1")
        self._need("max_bytes", self.max_bytes >= 1024, "at least 1024")
        self._need("max_pixels", self.max_pixels <= MOST_PIXELS, f"at most {MOST_PIXELS:,}")
        self._need("batch_wait_ms", 0 <= self.batch_wait_ms <= 1000, "between 0 and 1000")
        self._need("timeout", 0 < self.timeout <= 3600, "above 0 and at most 3600 seconds")
        self._need("queue", self.queue >= self.max_files, f"at least --max-files ({self.max_files}), or no such request could ever pass")

    def _need(self, name: str, good: bool, what: str) -> None:
        if not good:
            raise ConfigError(f"--{name.replace('_', '-')} is {what}, not {getattr(self, name):,}.")

    def told(self) -> dict[str, Any]:
        """What clients are told."""
        names = ("max_bytes", "max_pixels", "max_files", "max_faces")
        return {**{name: getattr(self, name) for name in names}, "timeout_seconds": self.timeout}


class Budget:
    """An amount that is shared out and comes back; for one event loop."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, amount: int) -> bool:
        """Takes it if it is there."""
        if amount > self.free or self._waiting:
            return False
        self.free -= amount
        return True

    async def take(self, amount: int) -> None:
        """Takes it, after those who came before; `amount` is at most `size`."""
        if self.take_now(amount):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given in the same moment
                self.give(amount)
            else:
                self._waiting.remove((amount, turn))
                self._next()
            raise

    def give(self, amount: int) -> None:
        """Brings it back."""
        self.free += amount
        self._next()

    def _next(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            amount, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.free -= amount
                turn.set_result(None)
