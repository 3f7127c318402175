import asyncio
import multiprocessing
from pathlib import Path

import pytest

from service.ops.process import locked, locked_async


def hold(path: Path, ready, may_go) -> None:
    with locked(path):
        ready.set()
        may_go.wait(30)


@pytest.mark.parametrize("killed", [False, True])
def test_one_process_waits_for_the_other(tmp_path: Path, killed: bool) -> None:
    fresh = multiprocessing.get_context("spawn")
    ready, may_go = fresh.Event(), fresh.Event()
    path = tmp_path / "lock"
    other = fresh.Process(target=hold, args=(path, ready, may_go))
    other.start()
    assert ready.wait(50)

    async def take(seconds: float) -> None:
        async with asyncio.timeout(seconds), locked_async(path):
            pass

    with pytest.raises(TimeoutError):
        asyncio.run(take(0.3))
    if killed:
        other.kill()
    else:
        may_go.set()
    asyncio.run(take(20))
    with locked(path):
        pass
    other.join(10)
