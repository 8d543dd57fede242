"""Settings that cannot work, and the budget that is shared out."""

from __future__ import annotations

import asyncio

import pytest

from evenface.errors import ConfigError
from evenface.serve.limits import Budget, Limits


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ({"max_bytes": 10}, "--max-bytes"),
        ({"max_pixels": 0}, "--max-pixels"),
        ({"max_pixels": 90_000_000}, "--max-pixels"),
        ({"max_files": 0}, "--max-files"),
        ({"max_faces": 0}, "--max-faces"),
        ({"queue": 0}, "--queue"),
        ({"queue": 4}, "--max-files"),
        ({"batch_size": 0}, "--batch-size"),
        ({"batch_wait_ms": -1.0}, "--batch-wait-ms"),
        ({"timeout": 0.0}, "--timeout"),
    ],
)
def test_a_setting_that_cannot_work(words: dict[str, float], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        Limits(**words)  # type: ignore[arg-type]


def test_a_budget_is_given_in_turn() -> None:
    async def play() -> list[str]:
        budget, order = Budget(10), []

        async def one(name: str, amount: int) -> None:
            await budget.take(amount)
            order.append(name)

        await one("a", 6)
        waiting = [asyncio.create_task(one(*each)) for each in (("b", 8), ("c", 3), ("d", 1))]
        await asyncio.sleep(0)
        assert not budget.take_now(1)  # others wait for it
        assert order == ["a"]  # c and d would fit, but b came before them
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order == ["a", "c", "d"]
        assert budget.free == 0
        for amount in (6, 3, 1):
            budget.give(amount)
        assert budget.free == 10
        return order

    asyncio.run(play())


def test_a_turn_that_comes_as_its_taker_goes_is_given_on() -> None:
    async def play() -> None:
        budget = Budget(5)
        await budget.take(5)
        first, second = (asyncio.create_task(budget.take(5)) for _ in range(2))
        await asyncio.sleep(0)
        budget.give(5)  # it is the first's turn now
        first.cancel()
        await asyncio.wait_for(second, 5)
        assert first.cancelled()
        assert budget.free == 0

    asyncio.run(play())
