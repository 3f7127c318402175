"""Which retriever a model version gets, by its size and by the settings, and its recall.

Letters: I items, V views, M modalities, D dimension.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import Rows, top_places
from service.ops.settings import Retrieval
from service.retrieval.approximate import ApproximateRetriever, FaissIndex, is_installed
from service.retrieval.exact import ExactRetriever
from service.retrieval.query import Eligible, Query, Retriever

EXACT_ITEMS = 100_000
"""Largest catalogue that is searched exactly unless told otherwise: some 8 ms a request, less in a
batch, where the approximate way takes half of one (docs/benchmarks.md)."""
LEAST_RECALL = 0.95
"""Below it, the approximate way is not used: the model is searched exactly."""
RECALL_AT = 20

_INDEX = "index"
"""Folder of the index within that of the version."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What retrievers need of the items of one model version."""

    vectors_IVMD: NDArray[np.float32]
    bias_I: NDArray[np.float32]
    popular_order_I: NDArray[np.int32]
    """Rows, most popular first."""
    templates_KM: Sequence[Sequence[float]]
    index_folder: Path | None
    """Where the index is kept; None: nowhere, it is built anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A retriever and its recall."""

    retriever: Retriever
    recall: float
    """Share that it finds of the 20 best items by routing every item, mean over sampled users."""
    sampled_users: int


def choose_retriever(
    wanted: Retrieval, scorer: OnnxScorer, items: Items, users: Sequence[Profile]
) -> Chosen:
    """Make the retriever and measure it. Blocking."""
    exact = ExactRetriever(
        scorer,
        items_IVMD=items.vectors_IVMD,
        bias_I=items.bias_I,
        templates_KM=items.templates_KM,
    )
    known = [profile for profile in users if profile.vector_VMD.any()]
    best = [top_places(scorer.score(profile), 0, RECALL_AT) for profile in known]
    if _wants_index(wanted, len(items.bias_I)):
        retriever = ApproximateRetriever(
            exact,
            _index(items),
            scorer,
            items_IVMD=items.vectors_IVMD,
            popular_order_I=items.popular_order_I,
        )
        recall = _recall(retriever, known, best, len(items.bias_I))
        if recall >= LEAST_RECALL:
            return Chosen(retriever=retriever, recall=recall, sampled_users=len(best))
        _logger.warning(
            "the approximate search finds only %.3f of the best items: searching exactly", recall
        )
    recall = _recall(exact, known, best, len(items.bias_I))
    return Chosen(retriever=exact, recall=recall, sampled_users=len(best))


def _wants_index(wanted: Retrieval, num_items: int) -> bool:
    if wanted == "auto" and num_items > EXACT_ITEMS and not is_installed():
        _logger.warning(
            "%d items are searched exactly because faiss is not installed: "
            "pip install -e '.[service,large]' makes that faster",
            num_items,
        )
        return False
    return wanted == "approximate" or (wanted == "auto" and num_items > EXACT_ITEMS)


def _index(items: Items) -> FaissIndex:
    folder = items.index_folder
    if folder is None:
        return FaissIndex.build(items.vectors_IVMD, items.bias_I)
    from filelock import FileLock  # noqa: PLC0415  # 2 % of a start; only a large catalogue needs it

    with FileLock(folder / ".index.lock", mode=0o600):  # one worker makes it, the others map it
        try:
            return FaissIndex.load(folder / _INDEX)
        except OSError as error:
            _logger.info("the index is made anew: %s", error)
        index = FaissIndex.build(items.vectors_IVMD, items.bias_I)
        shutil.rmtree(folder / _INDEX, ignore_errors=True)
        (folder / _INDEX).mkdir()
        index.save(folder / _INDEX)  # a torn one fails its checksum
        return FaissIndex.load(folder / _INDEX)


def _recall(
    retriever: Retriever, users: Sequence[Profile], best: Sequence[Rows], num_items: int
) -> float:
    """1 for nobody: there is nothing that has been missed."""
    if not best:
        return 1.0
    everything = Eligible(num_items, np.empty(0, dtype=np.intp))
    found = retriever.best([Query(profile, everything, RECALL_AT) for profile in users])
    shares = [np.isin(rows, ranked.rows).mean() for rows, ranked in zip(best, found, strict=True)]
    return float(np.mean(shares))
