"""Part `engine`: the exact and the approximate top 20 with explanations, beside plain scoring.

Letters: U users, I items, F all of an item's vectors side by side.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from deploy.benchmarks.serving.grown import HISTORY, NEIGHBOURS, grown_artifact
from deploy.benchmarks.serving.rig import Outcome, Part, median_seconds, one_thread
from model.artifact.files import Artifact
from model.runtime.artifact import ArtifactScorer
from model.runtime.top_k import top_places
from service.retrieval.query import Eligible, Query
from service.retrieval.select import Chosen, Items, choose_retriever
from training.reporting.documents import table

SEED = 0
TOP = 20
USERS = 64
"""Users in turn, so that no list is still in the cache."""
RECALL_USERS = 200
ROUNDS = {7_000: 200, 50_000: 40, 200_000: 15, 1_000_000: 7}
"""Sizes of catalogue, and how often each candidate is timed: about equally long."""
MOST_FOR_HNSW = 50_000
"""Building such a graph for more items takes minutes."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Row:
    size: int
    chosen: Chosen
    seconds: dict[str, float]

    def over_floor(self) -> float:
        return self.seconds["service"] / self.seconds["floor"]

    def cells(self) -> tuple[str, ...]:
        times = (
            f"{self.seconds[name] * 1e3:.2f}" if name in self.seconds else "" for name in _COLUMNS
        )
        return (
            f"{self.size:,}",
            *times,
            self.chosen.retriever.name,
            f"{self.over_floor():.3f}",
            f"{self.chosen.recall:.4f}",
        )


_COLUMNS = ("floor", "FAISS flat", "FAISS HNSW", "naive head", "service")
_PROTOCOL = f"""### Engine

`make bench BENCH=engine`: one user after another, one pinned thread, processor time, median of
interleaved rounds in milliseconds, on grown models (`deploy/benchmarks/serving/grown.py`, seed
{SEED}: three modalities, two views, 64 dimensions, nine experts, {NEIGHBOURS} neighbours an item;
users have {HISTORY} items, whose item-item sums are made anew for each list). The floor is one
float32 matrix-vector product over all item vectors and the top {TOP} of it; FAISS's indexes of the
same vectors do that too, without routing or explanation (HNSW up to {MOST_FOR_HNSW:,} items, 32
links, else its defaults). The naive head routes every item and takes the top {TOP} apart; the
service routes only items that may matter and takes its top {TOP} apart. Recall is against
routing every item, over {RECALL_USERS} users.

Seven thousand items fit into a processor's last cache, where the floor is at its fastest as long as
nobody else uses it: what else runs on the machine moves that line."""


def _measure() -> Outcome:
    rows = []
    for size, rounds in ROUNDS.items():
        sys.stderr.write(f"  {size:,} items ...\n")
        rows.append(measured(size, rounds))
    figures = {f"engine_{_short(row.size)}_over_floor": round(row.over_floor(), 4) for row in rows}
    largest = rows[-1]
    figures[f"engine_{_short(largest.size)}_recall20"] = round(largest.chosen.recall, 4)
    header = ("items", *_COLUMNS, "way", "service / floor", "recall@20")
    cells = table(header, [row.cells() for row in rows])
    return Outcome(figures=figures, text=f"{_PROTOCOL}\n\n{cells}")


def _short(size: int) -> str:
    return f"{size // 1_000_000}m" if size % 1_000_000 == 0 else f"{size // 1000}k"


def measured(size: int, rounds: int) -> _Row:
    """One line of the table."""
    artifact = grown_artifact(size, max(USERS, RECALL_USERS), SEED)
    with one_thread():
        scorer = ArtifactScorer.of(artifact)
        sampled = [scorer.user(user) for user in range(RECALL_USERS)]
        chosen = choose_retriever("auto", scorer.scorer, _items(artifact), sampled)
        candidates = _candidates(artifact, scorer, chosen)
        return _Row(size, chosen, median_seconds(candidates, rounds))


def _candidates(
    artifact: Artifact, scorer: ArtifactScorer, chosen: Chosen
) -> dict[str, Callable[[int], object]]:
    users_UF = artifact.tensors["user_embeddings"][:USERS].reshape(USERS, -1)
    flat_IF = artifact.tensors["item_embeddings"].reshape(artifact.manifest.num_items, -1)
    head = scorer.scorer
    everything = Eligible(len(flat_IF), np.empty(0, dtype=np.intp))

    def of(number: int) -> int:
        return number % USERS

    def floor(number: int) -> object:
        return top_places(flat_IF @ users_UF[of(number)], 0, TOP)

    def naive(number: int) -> object:
        profile = scorer.user(of(number))
        return head.explain(profile, top_places(head.score(profile), 0, TOP))

    def service(number: int) -> object:
        profile = scorer.user(of(number))
        (found,) = chosen.retriever.best([Query(profile, everything, TOP)])
        return head.explain(profile, found.rows)

    def searched(index: faiss.Index) -> Callable[[int], object]:
        index.add(flat_IF)
        return lambda number: index.search(users_UF[of(number)][None], TOP)

    width = flat_IF.shape[1]
    candidates: dict[str, Callable[[int], object]] = {
        "floor": floor,
        "naive head": naive,
        "service": service,
    }
    candidates["FAISS flat"] = searched(faiss.IndexFlatIP(width))
    if len(flat_IF) <= MOST_FOR_HNSW:
        candidates["FAISS HNSW"] = searched(
            faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
        )
    return candidates


def _items(artifact: Artifact) -> Items:
    tensors = artifact.tensors
    return Items(
        vectors_IVMD=tensors["item_embeddings"],
        bias_I=tensors["item_bias"],
        popular_order_I=np.argsort(-tensors["item_popularity"], kind="stable").astype(np.int32),
        templates_KM=[expert.template for expert in artifact.manifest.experts],
        index_folder=None,
    )


ENGINE = Part(
    name="engine",
    summary="top 20 routed and explained at four sizes of catalogue, against the floor",
    measure=_measure,
)
