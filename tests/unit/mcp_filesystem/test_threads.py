"""Threads of tool calls: one caller's work leaves room for another's."""

import asyncio
import threading

from mcp_filesystem.threads import Threads


async def test_one_callers_work_leaves_room_for_others() -> None:
    threads = Threads(each=2, most=4)
    stop, begun = threading.Event(), []

    def endless() -> None:
        begun.append(1)
        stop.wait(60)

    greedy = [asyncio.create_task(threads.run("greedy", endless)) for _ in range(8)]
    assert await threads.run("other", lambda: "served") == "served"
    assert len(begun) <= 2
    for task in greedy:  # given up, as a call is after its time: their threads are still busy
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)
    again = asyncio.create_task(threads.run("greedy", lambda: "served"))
    assert await threads.run("third", lambda: "served") == "served"
    assert not again.done()
    stop.set()
    assert await again == "served"
    threads.close()


async def test_what_fails_in_a_thread_fails_for_its_caller_alone() -> None:
    threads = Threads(each=1, most=2)

    def broken() -> None:
        raise ValueError("no")

    for _ in range(3):
        (told,) = await asyncio.gather(threads.run("one", broken), return_exceptions=True)
        assert isinstance(told, ValueError)
    assert await threads.run("one", lambda: 1) == 1
    threads.close()
