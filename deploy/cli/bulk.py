"""Lists for every user at once: the engine of the service without HTTP, into one Parquet file.

Which lists have fewer items than asked for, and why, is in a second file beside it.

The lists are those that the service would give at this moment: the same models, hidden items and
users' states, read the same way. Finished parts lie beside the file until all are there, so that a
run that was stopped goes on where it ended.
"""

import asyncio
import atexit
import gc
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Self

import polars as pl

from deploy.cli.bulk_table import ItemNames, ListTable
from service.app import running_services
from service.auth.authenticator import Authenticator
from service.ops.metrics import Metrics
from service.ops.process import tune_process
from service.ops.settings import Settings
from service.recommend.lists import lists_together
from service.recommend.resolution import read_user
from service.recommend.rules import check_rules
from service.schemas.requests import RecommendationRequest
from service.serving.follower import BEGINNING, ModelFollower
from service.serving.served import Models
from training.cli.bars import progress_shown
from training.cluster.engine import LOCAL, Engine
from training.errors import ExplainedError

TOGETHER = 256
"""Users whose lists are made at once: one pass over the items for all of them."""
PART_USERS = 4096
"""Users of one part: some seconds' work, which is lost when a run is killed."""
_GARBAGE = 100_000
"""New objects after which Python looks for unreachable ones: by default it does so after 700, which
takes a tenth of the time."""
_POLL_SECONDS = 0.02
_PLAN = "plan.json"


class BulkError(ExplainedError):
    """The lists cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run computes. A run continues another only if their plans are equal."""

    model_version: str
    challenger: str | None
    """The canary's version: its users get its lists, as they do from the service."""
    num_users: int
    request: str
    """The request as JSON; only the user id differs between users."""


def write_lists(
    settings: Settings, request: RecommendationRequest, out: Path, engine: Engine = LOCAL
) -> int:
    """Write the list of every user of the live model; returns how many users have one.

    If some are short, `short_file` tells of them.

    Args:
        settings: where models are, as for the service.
        request: what every user is asked for; its `user_id` is replaced.
        out: the Parquet file. It appears when it is whole.
        engine: who makes the lists.

    Raises:
        BulkError: no model can be loaded, or parts of another run are in the way.
        RequestRefused: the request cannot be met.
        OSError: the file cannot be written.
    """
    with ListMaker.open(settings, request) as maker:
        plan = maker.plan
        total = plan.num_users
        with _parts_of(out, plan) as folder, progress_shown("lists", total, "done") as show:
            path_of = {
                range(start, min(start + PART_USERS, total)): folder / f"{part:06}.parquet"
                for part, start in enumerate(range(0, total, PART_USERS))
            }
            waiting = [rows for rows, path in path_of.items() if not path.exists()]
            done = total - sum(map(len, waiting))
            for rows, tables in engine.each(partial(maker.part, plan), waiting):
                paths = short_file(path_of[rows]), path_of[rows]
                for path, table in zip(paths, tables, strict=True):
                    with _whole(path) as unfinished:
                        unfinished.write_bytes(table)
                done += len(rows)
                show(done, "")
            with _whole(out) as unfinished:
                pl.scan_parquet(sorted(path_of.values())).sink_parquet(unfinished)
            short = pl.read_parquet([short_file(path) for path in path_of.values()])
            short_file(out).unlink(missing_ok=True)
            if len(short):
                with _whole(short_file(out)) as unfinished:
                    short.write_parquet(unfinished)
    return int(pl.scan_parquet(out).select(pl.col("user_id").n_unique()).collect().item())


def short_file(out: Path) -> Path:
    """The Parquet file that tells which of the lists in `out` are short, and why."""
    return out.with_name(f"{out.name}.short")


def said_of_short(out: Path) -> str | None:
    """One line on the short lists in `out`; None if there are none."""
    path = short_file(out)
    if not path.exists():
        return None
    short = pl.read_parquet(path)
    empty = short.filter(pl.col("items") == 0)["user_id"]
    causes = short["left_out"].struct.unnest().sum().row(0, named=True)
    parts = ", ".join(f"{cause} {count:,}" for cause, count in causes.items() if count)
    none = f", {len(empty):,} of them empty (as of {empty[0]!r})" if len(empty) else ""
    return f"{path}: {len(short):,} lists are shorter than asked for{none}; left out: {parts}"


class ListMaker:
    """The models that a service would serve, opened in this process to make lists with.

    Another process gets the settings, and opens the models once.
    """

    def __init__(
        self,
        settings: Settings,
        request: RecommendationRequest,
        loop: asyncio.Runner,
        models: Models,
        metrics: Metrics,
    ) -> None:
        self._settings, self._request = settings, request
        self._loop, self._models, self._metrics = loop, models, metrics
        self._names = ItemNames()

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, request: RecommendationRequest) -> Iterator[Self]:
        """Open the live model, and the canary if there is one; raises as `write_lists` does."""
        tune_process()
        gc.set_threshold(_GARBAGE)
        metrics = Metrics()
        nobody = Authenticator(metrics, allow_anonymous=True, requests_per_second=1.0)
        with asyncio.Runner() as loop:
            exits = AsyncExitStack()
            try:
                running = running_services(settings, metrics, nobody)
                services = loop.run(exits.enter_async_context(running))
                models = loop.run(_loaded(services.follower))
                for model in (models.live, *([models.canary.model] if models.canary else [])):
                    check_rules(model.snapshot.items, request)
                yield cls(settings, request, loop, models, metrics)
            finally:
                loop.run(exits.aclose())

    def __reduce__(self) -> tuple[Callable[..., "ListMaker"], tuple[object, ...]]:
        """How pickle makes it again in another process."""
        return _opened_once, (self._settings, self._request.model_dump_json())

    @property
    def plan(self) -> Plan:
        """The plan of a run with these models."""
        canary, snapshot = self._models.canary, self._models.live.snapshot
        return Plan(
            model_version=snapshot.version,
            challenger=None if canary is None else canary.record.version,
            num_users=len(snapshot.user_ids),
            request=self._request.model_dump_json(exclude={"user_id"}),
        )

    def part(self, plan: Plan, rows: range) -> tuple[bytes, bytes]:
        """The lists of some users that are short, and all lists, as Parquet files.

        Raises:
            BulkError: these models are not those of the plan.
        """
        if self.plan != plan:
            raise BulkError(
                f"{self._models.live.snapshot.version} has gone live while lists of "
                f"{plan.model_version} were made: run it again, into another file"
            )
        users = self._models.live.snapshot.user_ids
        requests = [
            self._request.model_copy(update={"user_id": users[row]})
            for row in rows
            if not users.is_blank(row)
        ]
        table = self._loop.run(_lists(self._models, requests, self._names, self._metrics))
        return _parquet(table.short()), _parquet(table.frame())


@lru_cache(maxsize=1)
def _opened_once(settings: Settings, request: str) -> ListMaker:
    """Open it in a cluster's worker, which never closes it; `request` is JSON."""
    opened = ExitStack()
    atexit.register(opened.close)
    asked = RecommendationRequest.model_validate_json(request)
    return opened.enter_context(ListMaker.open(settings, asked))


async def _loaded(follower: ModelFollower) -> Models:
    """The models that a service would serve now."""
    while (models := follower.models) is None:
        if follower.live.trouble not in {None, BEGINNING}:
            raise BulkError(
                f"no lists can be made: {follower.live.trouble}. REDIS_URL names the server "
                "(`magnet run` prints that of its own)"
            )
        await asyncio.sleep(_POLL_SECONDS)
    return models


@contextmanager
def _parts_of(out: Path, plan: Plan) -> Iterator[Path]:
    """The folder of finished parts; it goes when all are in the file."""
    folder = out.with_name(f"{out.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / _PLAN
    if kept.exists():
        if json.loads(kept.read_text()) != asdict(plan):
            raise BulkError(
                f"{folder} holds parts of lists of another model or with other options; delete "
                "it, or name another file with --out"
            )
    else:
        kept.write_text(json.dumps(asdict(plan)))
    yield folder
    shutil.rmtree(folder)


async def _lists(
    models: Models, requests: Sequence[RecommendationRequest], names: ItemNames, metrics: Metrics
) -> ListTable:
    """Those of all requests, in order. An erased user gets none.

    Who is erased is read together with every user.
    """
    is_erased = models.live.snapshot.users.is_erased
    table = ListTable(names)
    for start in range(0, len(requests), TOGETHER):
        group = requests[start : start + TOGETHER]
        served = [models.of(request.user_id) for request in group]
        users = await asyncio.gather(
            *(
                read_user(model.snapshot, request.user_id)
                for model, request in zip(served, group, strict=True)
            )
        )
        asked = [
            each
            for each in zip(served, group, users, strict=True)
            if not is_erased(str(each[1].user_id))
        ]
        if asked:
            table.add(await asyncio.to_thread(lists_together, asked, metrics))
    return table


def _parquet(table: pl.DataFrame) -> bytes:
    content = BytesIO()
    table.write_parquet(content)
    return content.getvalue()


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield where to write a file that is there whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    yield unfinished
    unfinished.replace(path)
