"""Part `engine`: the exact and the approximate top 20 with explanations, beside plain scoring.

Letters: U users, I items, F all of an item's vectors side by side.
"""

import sys
from collections.abc import Callable

import faiss
import numpy as np

from deploy.benchmarks.parts import Outcome
from deploy.benchmarks.serving.grown import HISTORY, NEIGHBOURS, grown_artifact
from deploy.benchmarks.serving.rig import median_seconds, one_thread
from model.artifact.files import Artifact
from model.runtime.artifact import ArtifactScorer
from model.runtime.top_k import top_places
from service.retrieval.query import Eligible, Query
from service.retrieval.select import Chosen, Searched, choose_retriever

SEED = 0
TOP = 20
USERS = 64
"""Users in turn, so that no list is still in the cache."""
RECALL_USERS = 200
ROUNDS = {7_000: 200, 50_000: 40, 200_000: 15, 1_000_000: 7}
"""Sizes of catalogue, and how often each candidate is timed: about equally long."""
MOST_FOR_HNSW = 50_000
"""Building such a graph for more items takes minutes."""

_COLUMNS = ("floor", "FAISS flat", "FAISS HNSW", "naive head", "service")
_PROTOCOL = f"""### Engine

`make bench BENCH=engine`: one user after another, one pinned thread, processor time, median of
interleaved rounds in milliseconds, on grown models (`deploy/benchmarks/serving/grown.py`, seed
{SEED}: three modalities, two views, 64 dimensions, nine experts, {NEIGHBOURS} neighbours an item;
users have {HISTORY} items, whose item-item sums are made anew for each list). The floor is one
float32 matrix-vector product over all item vectors and the top {TOP} of it; FAISS's indexes of the
same vectors do that too, without routing or explanation (HNSW up to {MOST_FOR_HNSW:,} items, 32
links, else its defaults). The naive head routes every item and takes the top {TOP} apart; the
service routes only items that may matter, and its top {TOP} are taken apart by the run that scores
them. Recall is against routing every item, over {RECALL_USERS} users.

Seven thousand items fit into a processor's last cache, where the floor is at its fastest as long as
nobody else uses it: what else runs on the machine moves that line."""


def measure() -> Outcome:
    """Time the service and its peers at several sizes of catalogue."""
    figures: dict[str, float] = {}
    recall: dict[str, float] = {}
    rows = []
    for size, rounds in ROUNDS.items():
        sys.stderr.write(f"  {size:,} items ...\n")
        chosen, seconds = _timed(size, rounds)
        short = f"{size // 1_000_000}m" if size % 1_000_000 == 0 else f"{size // 1000}k"
        over_floor = seconds["service"] / seconds["floor"]
        figures[f"engine_{short}_over_floor"] = round(over_floor, 4)
        recall = {f"engine_{short}_recall20": round(chosen.recall, 4)}
        rows.append(
            {
                "items": f"{size:,}",
                **{x: f"{seconds[x] * 1e3:.2f}" if x in seconds else "" for x in _COLUMNS},
                "way": chosen.retriever.name,
                "service / floor": f"{over_floor:.3f}",
                "recall@20": f"{chosen.recall:.4f}",
            }
        )
    return Outcome.of(figures | recall, _PROTOCOL, rows)


def _timed(size: int, rounds: int) -> tuple[Chosen, dict[str, float]]:
    """How the service retrieves, and seconds of each column."""
    artifact = grown_artifact(size, max(USERS, RECALL_USERS), SEED)
    with one_thread():
        scorer = ArtifactScorer.of(artifact)
        sampled = [scorer.user(user) for user in range(RECALL_USERS)]
        templates = [expert.template for expert in artifact.manifest.experts]
        searched = Searched(scorer=scorer.scorer, tensors=artifact.tensors, templates_KM=templates)
        chosen = choose_retriever("auto", searched, sampled)
        return chosen, median_seconds(_candidates(artifact, scorer, chosen), rounds)


def _candidates(
    artifact: Artifact, scorer: ArtifactScorer, chosen: Chosen
) -> dict[str, Callable[[int], object]]:
    users_UF = artifact.tensors["user_embeddings"][:USERS].reshape(USERS, -1)
    flat_IF = artifact.tensors["item_embeddings"].reshape(artifact.manifest.num_items, -1)
    head = scorer.scorer
    everything = Eligible(len(flat_IF), np.empty(0, dtype=np.intp))

    def floor(number: int) -> object:
        return top_places(flat_IF @ users_UF[number % USERS], 0, TOP)

    def naive(number: int) -> object:
        profile = scorer.user(number % USERS)
        return head.explain(profile, top_places(head.score(profile), 0, TOP))

    def service(number: int) -> object:
        profile = scorer.user(number % USERS)
        (found,) = chosen.retriever.best([Query(profile, everything, TOP)])
        return found.breakdown or head.explain(profile, found.rows)

    def searched(index: faiss.Index) -> Callable[[int], object]:
        index.add(flat_IF)
        return lambda number: index.search(users_UF[number % USERS][None], TOP)

    width = flat_IF.shape[1]
    candidates: dict[str, Callable[[int], object]] = {
        "floor": floor,
        "naive head": naive,
        "service": service,
        "FAISS flat": searched(faiss.IndexFlatIP(width)),
    }
    if len(flat_IF) <= MOST_FOR_HNSW:
        hnsw = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
        candidates["FAISS HNSW"] = searched(hnsw)
    return candidates
