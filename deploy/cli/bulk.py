"""Lists for every user at once: the engine of the service without HTTP, into one Parquet file.

The lists are those that the service would give at this moment: the same models, hidden items and
users' states, read the same way. Finished parts lie beside the file until all are there, so that a
run that was stopped goes on where it ended.
"""

import asyncio
import gc
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

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
from training.cli.progress import progress_shown

TOGETHER = 256
"""Users whose lists are made at once: one pass over the items for all of them."""
PART_USERS = 4096
"""Users of one part: some seconds' work, which is lost when a run is killed."""
_GARBAGE = 100_000
"""New objects after which Python looks for unreachable ones: by default it does so after 700, which
takes a tenth of the time."""
_POLL_SECONDS = 0.02
_PLAN = "plan.json"


class BulkError(Exception):
    """The lists cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run makes; one that goes on with another's parts has an equal one."""

    model_version: str
    challenger: str | None
    """The canary's version: its users get its lists, as they do from the service."""
    num_users: int
    request: str
    """Of every user but for the id, as JSON."""


async def write_lists(settings: Settings, request: RecommendationRequest, out: Path) -> int:
    """Write the list of every user of the live model; returns how many users have one.

    Args:
        settings: where models are, as for the service.
        request: what every user is asked for; its `user_id` is replaced.
        out: the Parquet file. It appears when it is whole.

    Raises:
        BulkError: no model can be loaded, or parts of another run are in the way.
        RequestRefused: the request cannot be met.
        OSError: the file cannot be written.
    """
    tune_process()
    gc.set_threshold(_GARBAGE)
    metrics = Metrics()
    nobody = Authenticator(metrics, allow_anonymous=True, requests_per_second=1.0)
    async with running_services(settings, metrics, nobody) as services:
        models = await _loaded(services.follower)
        for model in (models.live, *([models.canary.model] if models.canary else [])):
            check_rules(model.snapshot.items, request)
        users, names = models.live.snapshot.user_ids, ItemNames()
        challenger = None if models.canary is None else models.canary.record.version
        plan = Plan(
            model_version=models.live.snapshot.version,
            challenger=challenger,
            num_users=len(users),
            request=request.model_dump_json(exclude={"user_id"}),
        )
        with _parts_of(out, plan) as folder, progress_shown("lists", len(users), "done") as show:
            for part, start in enumerate(range(0, len(users), PART_USERS)):
                rows = range(start, min(start + PART_USERS, len(users)))
                path = folder / f"{part:06}.parquet"
                if not path.exists():
                    requests = [
                        request.model_copy(update={"user_id": users[row]})
                        for row in rows
                        if not users.is_blank(row)
                    ]
                    lists = await _lists(models, requests, names, metrics)
                    _write_whole(lists.lazy(), path)
                show(rows.stop, "")
            _write_whole(pl.scan_parquet(sorted(folder.glob("*.parquet"))), out)
    return int(pl.scan_parquet(out).select(pl.col("user_id").n_unique()).collect().item())


async def _loaded(follower: ModelFollower) -> Models:
    """The models that a service would serve now."""
    while (models := follower.models) is None:
        if follower.live.trouble not in {None, BEGINNING}:
            raise BulkError(f"no lists can be made: {follower.live.trouble}")
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
) -> pl.DataFrame:
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
    return await asyncio.to_thread(table.frame)


def _write_whole(frame: pl.LazyFrame, path: Path) -> None:
    """Write a file that is there whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    frame.sink_parquet(unfinished)
    unfinished.replace(path)
