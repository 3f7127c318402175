"""Part `engine`: top 20 routed and taken apart, beside the floor of exact scoring.

Knows the service's scorer and peers of one thread; knows nothing about HTTP.

Letters: I items, U users, F all of an item's vectors side by side.
"""

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from deploy.bench.grown import grown_artifact
from deploy.bench.interleaved import median_seconds, one_thread
from deploy.bench.part import Outcome, Part, table
from model.contract.artifact import Artifact
from service.eligible import Eligible
from service.ranking import top_places
from service.retrieval.exact import ExactRetriever
from service.retrieval.retriever import Query, Retriever
from service.scorer import OnnxScorer

SIZES = (7_000, 50_000, 200_000, 1_000_000)
TOP = 20
_USERS = 64
_ROUNDS = {7_000: 200, 50_000: 40, 200_000: 15, 1_000_000: 7}
SEED = 0


def _measure() -> Outcome:
    figures: dict[str, float] = {}
    rows = []
    for size in SIZES:
        sys.stderr.write(f"  {size:,} items ...\n")
        seconds = _seconds(grown_artifact(size, _USERS, SEED), _ROUNDS[size])
        floor = seconds["floor"]
        figures[f"engine_{_short(size)}_over_floor"] = round(seconds["service"] / floor, 4)
        rows.append(
            (
                f"{size:,}",
                f"{floor * 1e3:.2f}",
                f"{seconds['naive head'] * 1e3:.2f}",
                f"{seconds['service'] * 1e3:.2f}",
                f"{seconds['service'] / floor:.2f}",
            )
        )
    header = ("items", "floor, ms", "naive head, ms", "service, ms", "over floor")
    return Outcome(figures=figures, text=f"{_PROTOCOL}\n\n{table(header, rows)}")


_PROTOCOL = f"""### Engine

`make bench BENCH=engine`: one user after another, one pinned thread, processor time, median of
interleaved rounds, on grown models (seed {SEED}). The floor is one float32 matrix-vector product
over all item vectors and the top {TOP} of it; the service finds and routes its top {TOP} and takes
them apart; the naive head routes every item."""


def _short(size: int) -> str:
    return f"{size // 1_000_000}m" if size % 1_000_000 == 0 else f"{size // 1000}k"


def _seconds(artifact: Artifact, rounds: int) -> dict[str, float]:
    users_UVMD = artifact.tensors["user_embeddings"]
    flat_IF = artifact.tensors["item_embeddings"].reshape(artifact.manifest.num_items, -1)
    scorer = _scorer(artifact)
    everything = Eligible(artifact.manifest.num_items, np.empty(0, dtype=np.intp))
    candidates: dict[str, Callable[[int], object]] = {
        "floor": partial(_floor, flat_IF, users_UVMD.reshape(len(users_UVMD), -1)),
        "naive head": partial(_naive, scorer, users_UVMD),
        "service": partial(_service, scorer, _retriever(artifact, scorer), everything, users_UVMD),
    }
    with one_thread():
        return median_seconds(candidates, rounds)


def _floor(flat_IF: NDArray[np.float32], users_UF: NDArray[np.float32], number: int) -> object:
    return top_places(flat_IF @ users_UF[number % len(users_UF)], 0, TOP)


def _scorer(artifact: Artifact) -> OnnxScorer:
    tensors = artifact.tensors
    return OnnxScorer(
        artifact.files,
        embeddings_IVMD=tensors["item_embeddings"],
        routing_IR=tensors["item_routing"],
        bias_I=tensors["item_bias"],
    )


def _retriever(artifact: Artifact, scorer: OnnxScorer) -> ExactRetriever:
    return ExactRetriever(
        scorer,
        items_IVMD=artifact.tensors["item_embeddings"],
        bias_I=artifact.tensors["item_bias"],
        templates_KM=[expert.template for expert in artifact.manifest.experts],
    )


def _naive(scorer: OnnxScorer, users_UVMD: NDArray[np.float32], number: int) -> object:
    user_VMD = users_UVMD[number % len(users_UVMD)]
    rows = top_places(scorer.score(user_VMD), 0, TOP)
    return scorer.explain(user_VMD, rows)


def _service(
    scorer: OnnxScorer,
    retriever: Retriever,
    everything: Eligible,
    users_UVMD: NDArray[np.float32],
    number: int,
) -> object:
    user_VMD = users_UVMD[number % len(users_UVMD)]
    ranked = retriever.best([Query(user_VMD, everything, TOP)])[0]
    return scorer.explain(user_VMD, ranked.rows)


ENGINE = Part(
    name="engine",
    summary="top 20 routed and explained at four sizes of catalogue, against the floor",
    measure=_measure,
)
