"""The servers that MAGNET is compared with: an empty route, implicit's ALS, Cornac's server.

    uvicorn --factory deploy.benchmarks.serving.peers:empty

Each answers a plain top 20 over the same number of items. Data are random: only speed is compared.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from scipy.sparse import csr_array, csr_matrix

from deploy.local.processes import Child

ITEMS = 7_000
USERS = 1_000
FACTORS = 64
TOP = 20
_PER_USER = 20
_EPOCHS = 3


def _interactions() -> csr_array:
    rng = np.random.default_rng(0)
    user_N = np.repeat(np.arange(USERS), _PER_USER)
    item_N = rng.integers(ITEMS, size=len(user_N))
    ones_N = np.ones(len(user_N), dtype=np.float32)
    return csr_array((ones_N, (user_N, item_N)), shape=(USERS, ITEMS))


def empty() -> FastAPI:
    """A route that does nothing: the floor of HTTP."""
    app = FastAPI()

    @app.get("/recommend/{user}")
    async def recommend(user: int) -> dict[str, int]:
        return {"user": user}

    return app


def _als() -> Callable[[int], list[dict[str, float]]]:
    """What a route answers a user by implicit's ALS."""
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415  # only benchmarks have it

    seen = csr_matrix(_interactions())
    model = AlternatingLeastSquares(
        factors=FACTORS, iterations=_EPOCHS, num_threads=1, random_state=0
    )
    model.fit(seen, show_progress=False)

    def recommend(user: int) -> list[dict[str, float]]:
        items, scores = model.recommend(user, seen[user], N=TOP)
        pairs = zip(items.tolist(), scores.tolist(), strict=True)
        return [{"item": item, "score": score} for item, score in pairs]

    return recommend


def als() -> FastAPI:
    """Implicit's ALS in an `async def` route: nobody else is answered while it computes."""
    app = FastAPI()
    answer = _als()

    @app.get("/recommend/{user}")
    async def recommend(user: int) -> list[dict[str, float]]:
        return answer(user)

    return app


def als_threads() -> FastAPI:
    """Implicit's ALS in a `def` route, as FastAPI's documentation has it for what takes time."""
    app = FastAPI()
    answer = _als()

    @app.get("/recommend/{user}")
    def recommend(user: int) -> list[dict[str, float]]:
        return answer(user)

    return app


def save_cornac(folder: Path) -> str:
    """Train a matrix factorisation for Cornac's server; returns where it is saved."""
    from cornac.data import Dataset  # noqa: PLC0415  # only benchmarks have it
    from cornac.models import MF  # noqa: PLC0415

    users, items = _interactions().nonzero()
    triples = [(str(user), str(item), 1.0) for user, item in zip(users, items, strict=True)]
    triples += [(str(USERS), str(item), 1.0) for item in range(ITEMS)]
    model = MF(k=FACTORS, max_iter=_EPOCHS, seed=0, verbose=False)
    return str(model.fit(Dataset.from_uir(triples)).save(str(folder)))


def start_peer(name: str, port: int, folder: Path, cpus: Sequence[int]) -> Child:
    """Start a peer by its name here, or `cornac`, with one thread for its linear algebra."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if name == "cornac":
        env |= {"FLASK_APP": "cornac.serving.app", "MODEL_CLASS": "cornac.models.MF"}
        env["MODEL_PATH"] = save_cornac(folder / "cornac")
        command = [sys.executable, "-m", "flask", "run", "--port", str(port)]
    else:
        command = [sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:{name}"]
        command += ["--port", str(port), "--log-level", "warning"]
    child = Child(name, command, log=folder / f"{name}.log", env=env)
    os.sched_setaffinity(child.pid, cpus)
    return child
