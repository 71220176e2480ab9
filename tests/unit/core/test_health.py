"""How often a check is made, however many ask."""

import asyncio

import pytest

from bulkhead.health import Readiness, kept


async def test_who_asks_while_a_check_runs_and_soon_after_gets_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, go = [100.0], asyncio.Event()
    made: list[Readiness] = []
    monkeypatch.setattr("bulkhead.health.time.monotonic", lambda: now[0])

    async def check() -> Readiness:
        made.append(Readiness(status="ready", parts={}))
        await go.wait()
        now[0] += 3  # it is slow
        return made[-1]

    ready = kept(check, 1.0)
    asking = [asyncio.ensure_future(ready()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()  # who leaves takes nobody's answer away
    go.set()
    answers = await asyncio.gather(*asking[1:])
    now[0] += 0.9
    assert all(answer is made[0] for answer in (*answers, await ready()))
    now[0] += 0.2
    assert await ready() is made[1] and len(made) == 2


async def test_a_check_that_fails_is_made_again() -> None:
    outcomes: list[OSError | Readiness] = [OSError("no"), Readiness(status="ready", parts={})]

    async def check() -> Readiness:
        if isinstance(outcome := outcomes.pop(0), OSError):
            raise outcome
        return outcome

    ready = kept(check, 0)
    with pytest.raises(OSError, match="no"):
        await ready()
    assert (await ready()).status == "ready"
