"""From the pictures of a request to their answers: header check, decoding in threads, the queue, the networks, all within the time limit.

service = Service(recognizer, Limits())
await service.start()
answers = await service.look(request, ask)
await service.stop()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request

from evenface.recognizer import Recognizer
from evenface.serve.batching import Batcher, Full, Slots
from evenface.serve.engine import Ask, Engine, Job, Seen
from evenface.serve.faults import describe
from evenface.serve.images import decode, inspect
from evenface.serve.limits import BODIES, PICTURES, Budget, Limits
from evenface.serve.metrics import Metrics
from evenface.serve.problems import ClientGone, Problem
from evenface.serve.uploads import Upload, pictures


T = TypeVar("T")

_log = logging.getLogger("evenface.serve")


class Service:
    """The state of a running service.

    Args:
        recognizer: the model.
        limits: what a request may cost.
        card: the model card, Markdown.
    """

    def __init__(self, recognizer: Recognizer, limits: Limits, *, card: str = "") -> None:
        self.recognizer = recognizer
        self.limits = limits
        self.card = card
        self.engine = Engine(recognizer)
        self.batcher: Batcher[Job, Seen] = Batcher(
            self.engine, capacity=limits.queue, size=limits.batch_size, wait=limits.batch_wait_ms / 1000, observe=self._observe
        )
        self.metrics = Metrics(lambda: self.batcher.under_way)
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "evenface-decode")
        self._bodies = Budget(BODIES * limits.max_bytes)
        self._pixels = Budget(PICTURES * limits.max_pixels)

    async def start(self) -> None:
        """Starts the thread of the networks and has it look at an empty picture, so that the first request finds it warm."""
        self.batcher.start()
        side = self.recognizer.config.img_size
        blank = np.zeros((side, side, 3), np.uint8)
        for cropped in (False, True):
            with self.batcher.reserve(1) as slots:
                job = Job(blank, "warm-up", Ask(self.recognizer.prior, 1, cropped=cropped))
                await asyncio.wrap_future(self.batcher.submit(job, slots))

    async def stop(self) -> None:
        """Finishes what is queued and ends the threads."""
        await asyncio.to_thread(self.batcher.stop)
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether a request would be taken now."""
        return self.batcher.has_room

    async def look(self, request: Request, ask: Ask, *, single: bool = False, finish: Callable[[Seen], T]) -> list[tuple[str, T | Problem]]:
        """Reads the pictures of a request and looks at them.

        Args:
            single: exactly one picture may come.
            finish: makes each answer what is sent; runs in a thread beside the event loop.

        Returns:
            Source and answer of each, in the order of the request; a picture that cannot be used has its problem, unless it is alone.

        Raises:
            Problem: the whole request is refused.
            ClientGone: hung up; what was not begun is not computed.
        """
        if not self.ready:
            raise _busy(self.batcher.retry_after)
        async with pictures(request, self.limits, self._bodies, self._pool) as uploads:
            if single and len(uploads) > 1:
                raise Problem("too-many-files", f"One picture at a time can be explained, not {len(uploads)}.")
            try:
                with self.batcher.reserve(len(uploads)) as slots:
                    async with asyncio.timeout(self.limits.timeout):
                        answers = await _unless_gone([self._one(upload, ask, slots, finish) for upload in uploads], request)
            except Full as full:
                raise _busy(full.retry_after) from None
            except TimeoutError:
                raise Problem("time-limit", f"No answer was found within {self.limits.timeout:g} seconds; send fewer pictures.") from None
            names = [upload.name for upload in uploads]
        for answer in answers:
            if isinstance(answer, Problem):
                if len(answers) == 1:
                    raise answer
                self.metrics.refusals.add(1, answer.kind)
        return list(zip(names, answers, strict=True))

    async def _one(self, upload: Upload, ask: Ask, slots: Slots, finish: Callable[[Seen], T]) -> T | Problem:
        try:
            seen = await self._seen(upload, ask, slots)
            self.metrics.pictures.add(1)
            self.metrics.faces.add(len(seen.result))
            return await self._aside(finish, seen)
        except Problem as problem:
            problem.source = upload.name
            return problem
        except Exception as error:
            _log.error("a picture could not be answered: %s", describe(error))
            return Problem("internal", "This picture could not be looked at; the reason is in the service's log.", source=upload.name)

    async def _seen(self, upload: Upload, ask: Ask, slots: Slots) -> Seen:
        width, height = await self._aside(inspect, upload.data, self.limits.max_pixels)
        loop, size = asyncio.get_running_loop(), width * height
        await self._pixels.take(size)

        def give(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._pixels.give, size)

        try:
            decoding = self._pool.submit(decode, upload.data)
        except BaseException:
            give(None)
            raise
        try:
            image = await asyncio.wrap_future(decoding)
        except BaseException:
            decoding.add_done_callback(give)  # a thread that has begun cannot be stopped, and holds the memory until it is done
            raise
        try:
            future = self.batcher.submit(Job(image, upload.name, ask), slots)
        except BaseException:
            give(None)
            raise
        del image, decoding  # the queue alone holds the pixels
        future.add_done_callback(give)
        return await asyncio.wrap_future(future)

    def _aside(self, work: Callable[..., T], *words: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, work, *words)

    def _observe(self, size: int, seconds: float) -> None:
        self.metrics.batch.observe(size)
        self.metrics.batch_seconds.observe(seconds)


def _busy(retry_after: int) -> Problem:
    return Problem(
        "busy", f"Too many pictures are under way; try again in {retry_after} seconds.", headers={"Retry-After": str(retry_after)}
    )


async def _unless_gone(jobs: Sequence[Coroutine[Any, Any, T]], request: Request) -> list[T]:
    """What the jobs give, unless the client hangs up first; whatever ends it, none of them goes on behind it."""
    tasks = [asyncio.create_task(job) for job in jobs]
    work, watch = asyncio.gather(*tasks), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGone
        return work.result()
    finally:
        for task in (*tasks, watch):
            task.cancel()
        await asyncio.gather(*tasks, work, watch, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
