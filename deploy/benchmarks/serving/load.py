"""A load generator in a process of its own: keep-alive connections that ask for users' lists.

    python -m deploy.benchmarks.serving.load --url http://127.0.0.1:8000 --path PATH

PATH has `{}` for the user's number, as in /v1/users/u{:09d}/recommendations. With a rate it is an
open loop: an answer's time runs from when its request was due, so that a stall counts for everyone
who would have come meanwhile. It prints one JSON object at the end or at SIGTERM. It speaks
HTTP/1.1 with a content length in every answer. With `--compare`, answers for one user and model
version must be equal.
"""

import argparse
import asyncio
import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

_AGAIN_SECONDS = 0.05
"""Before a broken connection is opened anew."""


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
    p50_ms: float
    p99_ms: float

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


@contextmanager
def loading(url: str, path: str, **options: float | bool) -> Iterator[Callable[[], Load]]:
    """Run the generator beside what happens in the context; call what is yielded to end it.

    Raises:
        OSError: the generator failed.
    """
    with _generator(url, path, options) as process:

        def end() -> Load:
            process.terminate()
            return _result(process)

        yield end


def load(url: str, path: str, *, seconds: float, **options: float | bool) -> Load:
    """Run the generator for so long."""
    with _generator(url, path, {"seconds": seconds} | options) as process:
        return _result(process)


@contextmanager
def _generator(
    url: str, path: str, options: dict[str, float | bool]
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "deploy.benchmarks.serving.load", "--url", url, "--path", path]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
            yield process
        finally:
            process.kill()


def _result(process: subprocess.Popen[bytes]) -> Load:
    output, _ = process.communicate()
    if process.returncode:
        raise OSError(f"the load generator failed with {process.returncode}")
    return Load(**json.loads(output))


_ROUNDING = 1e-5
"""In points of score: what a score owes to the requests that are computed together with it."""


def _same(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> bool:
    return len(one) == len(other) and all(
        a[0] == b[0] and abs(a[1] - b[1]) < _ROUNDING for a, b in zip(one, other, strict=True)
    )


class _Statistics:
    """Counts answers; with `compares`, looks into each of them."""

    def __init__(self, *, compares: bool) -> None:
        self.statuses: Counter[str] = Counter()
        self.milliseconds: list[float] = []
        self.broken = self.torn = self.degraded = 0
        self._compares = compares
        self._lists: dict[tuple[str, str], list[tuple[str, float]]] = {}

    def answered(self, status: str, body: bytes, milliseconds: float) -> None:
        self.statuses[status] += 1
        self.milliseconds.append(milliseconds)
        if self._compares and status == "200":
            answer: dict[str, Any] = json.loads(body)
            if answer["warnings"]:
                self.degraded += 1
                return
            shown = [(item["item_id"], item["score"]) for item in answer["items"]]
            key = answer["model_version"], answer["user_id"]
            self.torn += not _same(self._lists.setdefault(key, shown), shown)

    def load(self, seconds: float) -> Load:
        times = sorted(self.milliseconds) or [0.0]
        return Load(
            requests=len(self.milliseconds),
            seconds=seconds,
            statuses=dict(self.statuses),
            broken=self.broken,
            torn=self.torn,
            degraded=self.degraded,
            p50_ms=times[len(times) // 2],
            p99_ms=times[len(times) * 99 // 100],
        )


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[str, bytes, bool]:
    """Status, body, and whether the connection stays open."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = head[9:12]
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    body = await reader.readexactly(length)
    return status, body, head.startswith("http/1.1") and "connection: close" not in head


class _Generator:
    def __init__(self, options: argparse.Namespace) -> None:
        parts = urlsplit(options.url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._options = options
        self._asked = 0
        self._deadline = 0.0
        self.statistics = _Statistics(compares=options.compare)

    async def run(self) -> Load:
        started = time.perf_counter()
        self._deadline = started + self._options.seconds
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        sys.stdout.write("\n")  # it has begun
        sys.stdout.flush()
        await asyncio.gather(*map(self._connection, range(self._options.connections)))
        return self.statistics.load(time.perf_counter() - started)

    def _end(self) -> None:
        self._deadline = 0.0

    def _request(self) -> bytes:
        user = self._asked % self._options.users
        self._asked += 1
        path = self._options.path.format(user)
        return f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode()

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
                status, body, open_still = await _ask(reader, writer, self._request())
            except (OSError, asyncio.IncompleteReadError):
                self.statistics.broken += 1
                open_still = False
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self.statistics.answered(status, body, (time.perf_counter() - asked) * 1e3)
            if not open_still and writer is not None:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()


def main() -> None:
    """Run by `loading`."""
    parser = argparse.ArgumentParser(prog="python -m deploy.benchmarks.serving.load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--path", required=True, help="{} stands for a user's number")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=math.inf, help="default: until SIGTERM")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second (default: any)")
    parser.add_argument("--compare", action="store_true", help="look into the answers")
    generator = _Generator(parser.parse_args())
    sys.stdout.write(json.dumps(asdict(asyncio.run(generator.run()))))


if __name__ == "__main__":
    main()
