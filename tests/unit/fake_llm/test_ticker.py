"""The shared timer."""

import asyncio

from tests.fake_llm.ticker import TICK_SECONDS, Ticker


async def test_callbacks_run_in_order_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    start = loop.time()
    ran: list[tuple[str, float]] = []
    done = asyncio.Event()

    def late() -> None:
        ran.append(("late", loop.time()))
        done.set()

    ticker.at(start + 0.03, late)
    ticker.at(start + 0.01, lambda: ran.append(("early", loop.time())))
    await asyncio.wait_for(done.wait(), 2)

    assert [name for name, _ in ran] == ["early", "late"]
    waited = [at - start + TICK_SECONDS for _, at in ran]
    assert waited[0] >= 0.01
    assert waited[1] >= 0.03


async def test_a_callback_may_schedule_another() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    done = asyncio.Event()

    ticker.at(loop.time(), lambda: ticker.at(loop.time() + 0.005, done.set))

    await asyncio.wait_for(done.wait(), 2)


async def test_nothing_runs_after_stop() -> None:
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    ran = asyncio.Event()

    ticker.at(loop.time() + 0.005, ran.set)
    ticker.stop()
    await asyncio.sleep(0.02)

    assert not ran.is_set()
