"""Children are watched, stopped, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.local.processes import Child, ChildDied
from tests.waiting import until

PROJECT = Path(__file__).parents[3]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-u",
    "-c",
    "from signal import *; import time; signal(SIGTERM, SIG_IGN); print('up'); time.sleep(600)",
]
PARENT = """
import time
from deploy.local.processes import Child
with Child("a child", ["sleep", "600"]) as child:
    print(child.pid, flush=True)
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_child_that_ended_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; print(*range(100), sep='\\n'); print('out of luck'); sys.exit(3)"
    with Child(
        "the worker", [sys.executable, "-c", code], log=tmp_path / "logs" / "w.log"
    ) as child:
        assert child.wait() == 3
        with pytest.raises(ChildDied) as caught:
            child.check()
    lines = str(caught.value).splitlines()
    assert lines[0] == "the worker ended (exit status 3)"
    assert lines[1].strip() == f"the end of {tmp_path / 'logs' / 'w.log'}:"
    assert lines[-1].strip() == "out of luck"
    assert len(lines) == 17


def test_a_child_is_stopped_on_exit() -> None:
    with Child("the worker", SLEEP) as child:
        child.check()
    with pytest.raises(ChildDied, match=r"signal SIGTERM"):
        child.check()


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Child("the worker", STUBBORN, log=log, grace_seconds=0.2) as child:
        until(lambda: "up" in log.read_text())
    with pytest.raises(ChildDied, match=r"signal SIGKILL"):
        child.check()


def test_the_terminals_interrupt_does_not_reach_a_child() -> None:
    with Child("the worker", SLEEP) as child:
        assert os.getpgid(child.pid) != os.getpgid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_a_child_does_not_outlive_a_killed_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not is_alive(pid))


class RingingLock:
    """Interrupts us the moment that it is taken for the first time."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._has_rung = False
        self.release = lock.release

    def acquire(self, blocking: bool = True) -> bool:
        taken = self._lock.acquire(blocking)
        if not self._has_rung:
            self._has_rung = True
            # To this thread: the process may have others, of the test runner, that hold no signals.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return taken


def test_an_interrupt_at_the_worst_moment_leaves_the_child_stoppable() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Child("the worker", ["sleep", "600"], grace_seconds=1) as child:
            process = child._process
            process._waitpid_lock = RingingLock(process._waitpid_lock)
            with pytest.raises(KeyboardInterrupt):
                child.check()
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ChildDied, match="SIGTERM"):
        child.check()
