"""One container of the composition: start, health check, stop and kill."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.processes import Child, ChildDied
from tests.rehearsal.composition import Healthcheck, seconds
from tests.rehearsal.network import Network
from tests.rehearsal.sandbox import Sandbox

_START_SECONDS = 120.0
"""Many times what any of them takes, for a busy machine."""


@dataclass(slots=True, kw_only=True)
class Container:
    """A running process in a sandbox with an address.

    Attributes:
        service: the name that leads to it.
        address: where it listens.
    """

    service: str
    address: str
    _network: Network
    _sandbox: Sandbox
    _child: Child
    _health: Healthcheck | None
    _named: bool = True

    @classmethod
    def start(
        cls,
        service: str,
        words: Sequence[str],
        sandbox: Sandbox,
        network: Network,
        health: Healthcheck | None,
    ) -> "Container":
        """Start it; its output goes to `log` in the sandbox's scratch folder."""
        namespace, address = network.attach()
        enter = ["nsenter", f"--net=/run/netns/{namespace}"]
        log = sandbox.scratch / "log"
        child = Child(service, [*enter, *sandbox.command(words)], log=log, grace_seconds=0)
        network.announce(service, address)
        return cls(
            service=service,
            address=address,
            _network=network,
            _sandbox=sandbox,
            _child=child,
            _health=health,
        )

    @property
    def log(self) -> Path:
        """What it has said."""
        return self._sandbox.scratch / "log"

    def wait_until_healthy(self) -> None:
        """Return when its health check succeeds; ChildDied if it ends or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while self._health is not None and not self._is_healthy(self._health):
            self._child.check()
            if time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:]
                raise ChildDied(f"{self.service} did not become healthy:\n{end}")
            time.sleep(0.2)

    def wait(self) -> int:
        """Its exit status, once it ends by itself."""
        status = self._child.wait()
        self._leave()
        return status

    def stop(self, by: signal.Signals = signal.SIGTERM, grace_seconds: float = 30.0) -> None:
        """Ask it to end; kill it if it does not. SIGKILL asks nobody."""
        self.ask_to_stop(by)
        deadline = time.monotonic() + grace_seconds
        while self.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
        self._child.stop()
        self._leave()

    def ask_to_stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to its first process, as an engine does."""
        inner = self._inner_pid()
        if inner is not None:
            with suppress(ProcessLookupError):
                os.kill(inner, by)

    @property
    def is_running(self) -> bool:
        """Whether its first process is there."""
        return self._inner_pid() is not None

    def _leave(self) -> None:
        if self._named:
            self._network.withdraw(self.service, self.address)
            self._named = False

    def _is_healthy(self, health: Healthcheck) -> bool:
        inner = self._inner_pid()
        if inner is None:
            return False
        enter = ["nsenter", f"--target={inner}", "--mount", "--net", "--pid", "--root"]
        variables = [f"{name}={text}" for name, text in self._sandbox.environment.items()]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [*enter, "env", "-i", *variables, *health.command()],
                capture_output=True,
                # A busy machine is slow; whether it answers is the question here, not how soon.
                timeout=10 * seconds(health.timeout),
                check=False,
            )
            return done.returncode == 0
        return False

    def _inner_pid(self) -> int | None:
        """The process that sees itself as number 1."""
        pid = self._child.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None
