"""Part `bulk`: every user's list by `magnet recommend --all`, beside the bare matrix products."""

import sys
import tempfile
import time
from pathlib import Path

from deploy.benchmarks.parts import Outcome
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.rig import median_seconds, one_thread
from deploy.cli.bulk import write_lists
from model.artifact.files import write_artifact
from model.runtime.top_k import top_places
from service.ops.settings import Settings
from service.schemas.requests import RecommendationRequest

SEED = 0
ITEMS = 50_000
USERS = 4_096
TOP = 50
BLOCK = 64
ROUNDS = 3

_PROTOCOL = f"""### Bulk lists

`make bench BENCH=bulk`: `magnet recommend --all` for {USERS:,} users of a grown model with
{ITEMS:,} items (seed {SEED}), the {TOP} best with reasons, on one pinned thread, processor time,
loading and writing included, median of {ROUNDS} rounds. The floor is the float32 matrix product of
the users' and items' vectors in blocks of {BLOCK} and each user's top {TOP} of it."""


def measure() -> Outcome:
    """Time the command and its floor."""
    sys.stderr.write(f"  {ITEMS:,} items ...\n")
    artifact = grown_artifact(ITEMS, USERS, SEED)
    users_UF = artifact.tensors["user_embeddings"].reshape(USERS, -1)
    items_IF = artifact.tensors["item_embeddings"].reshape(ITEMS, -1)

    def floor(_number: int) -> object:
        for start in range(0, USERS, BLOCK):
            for score_I in users_UF[start : start + BLOCK] @ items_IF.T:
                top_places(score_I, 0, TOP)
        return None

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "artifact"
        folder.mkdir()
        write_artifact(folder, artifact)
        settings = Settings.from_environment(artifact_dir=folder)
        request = RecommendationRequest(user_id="everybody", k=TOP)

        def service(number: int) -> object:
            out = Path(scratch) / f"{number}.parquet"
            return write_lists(settings, request, out)

        with one_thread():
            ways = {"floor": floor, "service": service}
            seconds = median_seconds(ways, ROUNDS, clock=time.process_time)
    rates = {name: USERS / value for name, value in seconds.items()}
    figures = {
        "bulk_over_floor": round(seconds["service"] / seconds["floor"], 3),
        "bulk_users_per_s": round(rates["service"]),
    }
    row = {f"{name}, users/s": f"{rate:,.0f}" for name, rate in rates.items()}
    return Outcome.of(figures, _PROTOCOL, [row])
