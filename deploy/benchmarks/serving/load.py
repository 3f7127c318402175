"""A load generator in a process of its own: keep-alive connections that ask for users' lists.

    python -m deploy.benchmarks.serving.load '{"url": "http://127.0.0.1:8000", "path": PATH,
    "seconds": 10}'

The argument is `Options` as JSON. With a rate it is an open loop: an answer's time runs from when
its request was due, so that a stall counts for everybody who would have come meanwhile. It prints
one JSON object at the end or at SIGTERM. Servers must speak HTTP/1.1 with a content length in every
answer.
"""

import asyncio
import bisect
import itertools
import json
import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

_AGAIN_SECONDS = 0.05
"""Pause before a broken connection is reopened."""
_ROUNDING = 1e-5
"""How much a score may differ when requests share a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to ask for, and how fast."""

    url: str
    path: str
    """Path with `{}` for the user's number, as in /v1/users/u{:09d}/recommendations."""
    users: int = 1000
    """Users who ask in turn, or by Zipf's law with `zipf`."""
    zipf: bool = False
    """Draw users by Zipf's law: user n in proportion to 1 / n."""
    seed: int = 0
    """Seed of the draw of users."""
    clicks_every: int = 0
    """After this many lists a click on the first item of one is reported; 0: never."""
    connections: int = 16
    seconds: float = math.inf
    """Length of the run; by default until SIGTERM."""
    rate: float = 0.0
    """Requests per second; 0: each connection asks again as soon as it is answered."""
    compare: bool = False
    """Whether answers for one user and model version must be equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was asked and how it was answered."""

    requests: int
    seconds: float
    statuses: dict[str, int]
    broken: int
    """Connections that could not be opened or ended within an answer."""
    torn: int
    """Answers that differ from another of the same user and model version."""
    degraded: int
    """Answers with a warning."""
    clicks: int
    """Clicks that were reported besides."""
    times_ms: list[float]
    """Response times, ascending."""

    @property
    def p50_ms(self) -> float:
        """The median."""
        return percentile(self.times_ms, 50)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile."""
        return percentile(self.times_ms, 99)

    @property
    def per_second(self) -> float:
        """Answers in a second."""
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        """Answers other than 200, and broken connections."""
        return self.broken + sum(n for status, n in self.statuses.items() if status != "200")

    @property
    def server_errors(self) -> int:
        """Answers of 5xx."""
        return sum(n for status, n in self.statuses.items() if status.startswith("5"))


def percentile(ascending: Sequence[float], share: float) -> float:
    """The percentile `share` (0 to 100) of sorted times; 0 without any."""
    return ascending[int(len(ascending) * share / 100)] if ascending else 0.0


@contextmanager
def loading(url: str, path: str, **options: Any) -> Iterator[Callable[[], Load]]:
    """Run the generator beside what happens in the context; call what is yielded to end it.

    Args:
        url: of the server.
        path: see `Options`.
        options: the others of `Options`.

    Raises:
        OSError: the generator failed.
    """
    asked = json.dumps(asdict(Options(url=url, path=path, **options)))
    command = [sys.executable, "-m", "deploy.benchmarks.serving.load", asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:

        def end() -> Load:
            if "seconds" not in options:
                process.terminate()
            output, _ = process.communicate()
            if process.returncode:
                raise OSError(f"the load generator failed with {process.returncode}")
            return Load(**json.loads(output))

        try:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            yield end
        finally:
            process.kill()


def load(url: str, path: str, *, seconds: float, **options: Any) -> Load:
    """Run the generator for so long."""
    with loading(url, path, seconds=seconds, **options) as end:
        return end()


class _Generator:
    def __init__(self, options: Options) -> None:
        parts = urlsplit(options.url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._options = options
        self._asked = self._clicks = 0
        self._random = random.Random(options.seed)
        weights = (1 / rank for rank in range(1, options.users + 1) if options.zipf)
        self._cumulative = list(itertools.accumulate(weights))
        self._deadline = 0.0
        self._statuses: Counter[str] = Counter()
        self._milliseconds: list[float] = []
        self._broken = self._torn = self._degraded = 0
        self._lists: dict[tuple[str, str], list[tuple[str, float]]] = {}

    async def run(self) -> Load:
        started = time.perf_counter()
        self._deadline = started + self._options.seconds
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        sys.stdout.write("\n")  # it has begun
        sys.stdout.flush()
        await asyncio.gather(*map(self._connection, range(self._options.connections)))
        return Load(
            requests=len(self._milliseconds),
            seconds=time.perf_counter() - started,
            statuses=dict(self._statuses),
            broken=self._broken,
            torn=self._torn,
            degraded=self._degraded,
            clicks=self._clicks,
            times_ms=sorted(self._milliseconds),
        )

    def _end(self) -> None:
        self._deadline = 0.0

    async def _connection(self, number: int) -> None:
        options = self._options
        pause = options.connections / options.rate if options.rate else 0.0
        writer: asyncio.StreamWriter | None = None
        due = time.perf_counter() + pause * number / options.connections
        while (now := time.perf_counter()) < self._deadline:
            if pause:
                await asyncio.sleep(max(0.0, due - now))
            asked = due if pause else now
            due += pause
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                status, body, open_still = await self._ask(reader, writer)
                self._answered(status, body, time.perf_counter() - asked)
                if open_still and self._clicks_now():
                    open_still = await self._click(reader, writer, json.loads(body))
            except (OSError, asyncio.IncompleteReadError):
                self._broken += 1
                open_still = False
                await asyncio.sleep(_AGAIN_SECONDS)
            if not open_still and writer is not None:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    def _user(self) -> int:
        """The number of the next user."""
        if not self._options.zipf:
            self._asked += 1
            return (self._asked - 1) % self._options.users
        drawn = self._random.random() * self._cumulative[-1]
        return bisect.bisect(self._cumulative, drawn)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, bytes, bool]:
        """Status, body, and whether the connection stays open."""
        path = self._options.path.format(self._user())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        return await _answer(reader)

    def _clicks_now(self) -> bool:
        """Whether a click is to be reported after this answer."""
        every = self._options.clicks_every
        return every > 0 and len(self._milliseconds) % every == 0

    async def _click(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shown: dict[str, Any]
    ) -> bool:
        """Report a click on the first item of a list; whether the connection stays open."""
        self._clicks += 1
        event = {
            "event_id": f"{self._options.seed}-{self._clicks}",
            "user_id": shown["user_id"],
            "item_id": shown["items"][0]["item_id"],
            "type": "click",
            "timestamp": "2026-01-01T12:00:00Z",
        }
        body = json.dumps({"events": [event]})
        head = f"POST /v1/feedback HTTP/1.1\r\nHost: {self._host}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        status, _, open_still = await _answer(reader)
        if status != "200":
            self._statuses[status] += 1
        return open_still

    def _answered(self, status: str, body: bytes, seconds: float) -> None:
        self._statuses[status] += 1
        self._milliseconds.append(seconds * 1e3)
        if not self._options.compare or status != "200":
            return
        answer = json.loads(body)
        if answer["warnings"]:
            self._degraded += 1
            return
        shown = [(item["item_id"], item["score"]) for item in answer["items"]]
        first = self._lists.setdefault((answer["model_version"], answer["user_id"]), shown)
        self._torn += len(first) != len(shown) or any(
            a[0] != b[0] or abs(a[1] - b[1]) >= _ROUNDING for a, b in zip(first, shown, strict=True)
        )


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bytes, bool]:
    """Status, body, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    body = await reader.readexactly(length)
    return head[9:12], body, head.startswith("http/1.1") and "connection: close" not in head


if __name__ == "__main__":
    generator = _Generator(Options(**json.loads(sys.argv[1])))
    sys.stdout.write(json.dumps(asdict(asyncio.run(generator.run()))))
