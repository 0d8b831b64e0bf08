"""Large bodies are held within a budget: who comes too many waits, then is asked to come again; small ones pass."""

import asyncio
import contextlib
import threading

import pytest
from starlette.requests import Request

from functions.predict.settings import OWN_MIB, WORK_PER_BYTE, Limits, PredictSettings, least_memory_mib
from functions.predict.wire.bodies import Bodies, Budget
from functions.predict.wire.json_answer import computed
from functions.predict.wire.payload import ARCHIVE
from shared.errors import SettingsError
from shared.problems import Refusal

MEBIBYTE = 2**20


def request_of(size: int, gate: asyncio.Event | None = None, content: bytes = b"x") -> Request:
    """A request that declares `size` bytes, and sends them once `gate` is open."""

    async def receive() -> dict[str, object]:
        if gate is not None:
            await gate.wait()
        return {"type": "http.request", "body": content * (size // len(content)), "more_body": False}

    return Request({"type": "http", "headers": [(b"content-length", b"%d" % size)]}, receive)


def test_who_comes_first_is_served_first_and_nobody_holds_more_than_there_is() -> None:
    async def scenario() -> list[str]:
        budget, order = Budget(10), []

        async def worker(name: str, amount: int) -> None:
            async with budget.hold(amount):
                order.append(name)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(worker(name, amount) for name, amount in [("a", 6), ("b", 6), ("c", 1), ("d", 99)]))
        async with budget.hold(10):
            order.append("all")
        return order

    assert asyncio.run(scenario()) == ["a", "b", "c", "d", "all"]


def test_whose_turn_does_not_come_is_asked_to_come_again_and_takes_nothing_with_it() -> None:
    async def scenario() -> Refusal:
        budget = Budget(10, wait_seconds=0.05)
        async with budget.hold(8):
            with pytest.raises(Refusal) as caught:
                async with budget.hold(8):
                    raise AssertionError
            async with budget.hold(2):
                pass
        async with budget.hold(10):
            return caught.value

    refusal = asyncio.run(scenario())
    assert (refusal.status, refusal.problems[0].code) == (503, "busy")
    assert refusal.headers == {"Retry-After": "2"}, "closing the connection would take the answer with it"


def test_a_caller_that_goes_away_while_it_waits_gives_its_place() -> None:
    async def scenario() -> None:
        budget = Budget(10)
        async with budget.hold(10):
            waiting = asyncio.create_task(budget.hold(10).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(1), budget.hold(10):
            pass

    asyncio.run(scenario())


def test_small_bodies_pass_while_large_ones_that_never_end_hold_everything() -> None:
    async def scenario() -> None:
        limits = Limits(max_bytes=MEBIBYTE, work_bytes=2 * WORK_PER_BYTE * MEBIBYTE, body_seconds=600)
        bodies, never = Bodies(limits), asyncio.Event()
        slow = [asyncio.create_task(bodies.of(request_of(MEBIBYTE, never)).__aenter__()) for _ in range(20)]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(60), bodies.of(request_of(1000)) as body:
            assert len(body) == 1000
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(scenario())


def test_a_small_workbook_waits_for_the_large_ones_since_it_unfolds() -> None:
    async def scenario() -> None:
        bodies = Bodies(Limits(max_bytes=MEBIBYTE, work_bytes=2 * WORK_PER_BYTE * MEBIBYTE))
        async with bodies.of(request_of(MEBIBYTE)):
            waiting = asyncio.create_task(bodies.of(request_of(1000, content=ARCHIVE)).__aenter__())
            await asyncio.sleep(0.01)
            assert not waiting.done()
        async with asyncio.timeout(60):
            assert len(await waiting) == 1000

    asyncio.run(scenario())


def test_a_small_workbook_is_unfolded_off_the_event_loop() -> None:
    async def scenario() -> tuple[bool, bool]:
        loop = threading.current_thread()
        found = [
            await computed(body, lambda: threading.current_thread() is loop) for body in (b"[1]", ARCHIVE + b" " * 100)
        ]
        return found[0], found[1]

    assert asyncio.run(scenario()) == (True, False)


def test_the_work_of_a_body_and_the_memory_of_the_container_belong_together() -> None:
    settings = PredictSettings.from_env({"BUCKET": "b", "MEMORY_MIB": "512"})
    assert settings.limits.work_bytes == (512 - OWN_MIB) * MEBIBYTE
    assert settings.limits.max_bytes * WORK_PER_BYTE * 2 <= settings.limits.work_bytes
    larger = PredictSettings.from_env({"BUCKET": "b", "MEMORY_MIB": "2048"})
    assert settings.most_graph_bytes < larger.most_graph_bytes, "more memory is the models'"
    assert larger.limits.work_bytes <= 4 * larger.limits.max_bytes * WORK_PER_BYTE
    least = least_memory_mib(32 * MEBIBYTE)
    enough = {"BUCKET": "b", "MAX_BODY_BYTES": str(32 * MEBIBYTE), "MEMORY_MIB": str(least)}
    assert PredictSettings.from_env(enough).limits.max_bytes == 32 * MEBIBYTE
    with pytest.raises(SettingsError, match=f"MEMORY_MIB must be at least {least}"):
        PredictSettings.from_env({**enough, "MEMORY_MIB": str(least - 1)})
