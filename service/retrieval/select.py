"""Which retriever a model version gets, by its size and by the settings, and its recall.

Letters: I items, V views, M modalities, D dimension, K experts.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import top_places
from service.ops.derived import kept_in
from service.ops.settings import Retrieval
from service.retrieval.approximate import (
    ApproximateRetriever,
    Effort,
    FaissIndex,
    is_installed,
)
from service.retrieval.bounds import FloatBounds
from service.retrieval.exact import ExactRetriever
from service.retrieval.query import Eligible, Query, Retriever, Tensors

EXACT_ITEMS = 100_000
"""Largest catalogue that is searched exactly unless told otherwise: some 8 ms a request, less in a
batch, where the approximate way takes half of one (docs/benchmarks.md)."""
LEAST_RECALL = 0.95
"""Below it, the approximate way is not used: the model is searched exactly."""
RECALL_AT = 20

_INDEX = "index"
"""Folder of the index within that of the version."""
_RECALL = "recall.json"
"""File in it: what was measured, and of what."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A retriever and its recall."""

    retriever: Retriever
    recall: float
    """Share that it finds of the 20 best items by routing every item, mean over sampled users."""
    sampled_users: int
    finish: Callable[[], None] | None = None
    """What is left to be done once it is served, beside requests. Blocking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The items that are searched."""

    scorer: OnnxScorer
    """Of these items."""
    tensors: Tensors
    """Those of an artifact, by name; the rows of these items."""
    templates_KM: Sequence[Sequence[float]]
    """Weights of the experts over the modalities."""
    share: float = 1
    """Of all items of the model version."""


def choose_retriever(
    wanted: Retrieval,
    searched: Searched,
    users: Sequence[Profile],
    *,
    folder: Path | None = None,
) -> Chosen:
    """Make the retriever and measure its recall. Blocking.

    Args:
        wanted: the setting.
        searched: which items.
        users: whose best items the recall is measured on.
        folder: where the index, and what is rounded, are kept; None: nowhere, they are made anew.
    """
    keep = kept_in(folder)
    scorer, tensors, templates_KM = searched.scorer, searched.tensors, searched.templates_KM
    known = [profile for profile in users if profile.vector_VMD.any()]
    num_items = len(tensors["item_bias"])
    if _wants_index(wanted, num_items):
        index = _index(tensors, folder)
        templates = np.array(templates_KM, dtype=np.float32)
        items_IVMD, bias_I = tensors["item_embeddings"], tensors["item_bias"]
        bounds = FloatBounds(items_IVMD, bias_I, templates, scorer.reach())
        exact = ExactRetriever(scorer, tensors, templates_KM, bounds=bounds)
        effort = Effort.of_share(searched.share)
        retriever = ApproximateRetriever(exact, index, scorer, tensors, effort)
        measure = partial(_recall, retriever, scorer, known, num_items)
        recall = measure() if folder is None else _kept_recall(folder / _INDEX, effort, measure)

        def finish() -> None:
            retriever.search_exactly_by(ExactRetriever(scorer, tensors, templates_KM, keep=keep))

        if recall >= LEAST_RECALL:
            return Chosen(
                retriever=retriever, recall=recall, sampled_users=len(known), finish=finish
            )
        _logger.warning(
            "the approximate search finds only %.3f of the best items: searching exactly", recall
        )
    exact = ExactRetriever(scorer, tensors, templates_KM, keep=keep)
    recall = _recall(exact, scorer, known, num_items)
    return Chosen(retriever=exact, recall=recall, sampled_users=len(known))


def _wants_index(wanted: Retrieval, num_items: int) -> bool:
    if wanted == "auto" and num_items > EXACT_ITEMS and not is_installed():
        _logger.warning(
            "%d items are searched exactly because faiss is not installed: "
            "pip install 'magnet-recommender[large]' makes that faster",
            num_items,
        )
        return False
    return wanted == "approximate" or (wanted == "auto" and num_items > EXACT_ITEMS)


def _index(tensors: Tensors, folder: Path | None) -> FaissIndex:
    items_IVMD, bias_I = tensors["item_embeddings"], tensors["item_bias"]
    if folder is None:
        return FaissIndex.build(items_IVMD, bias_I)
    from filelock import FileLock  # noqa: PLC0415  # 2 % of a start; only a large catalogue needs it

    with FileLock(folder / ".index.lock", mode=0o600):  # one worker makes it, the others map it
        try:
            return FaissIndex.load(folder / _INDEX)
        except OSError as error:
            _logger.info("the index is made anew: %s", error)
        index = FaissIndex.build(items_IVMD, bias_I)
        shutil.rmtree(folder / _INDEX, ignore_errors=True)
        (folder / _INDEX).mkdir()
        index.save(folder / _INDEX)  # a torn one fails its checksum
        return FaissIndex.load(folder / _INDEX)


def _kept_recall(folder: Path, effort: Effort, measure: Callable[[], float]) -> float:
    """That of the index in a folder, measured once: it takes longer than to load the index."""
    of_what = {"probed": effort.probed, "stages": [list(stage) for stage in effort.stages]}
    path = folder / _RECALL
    with suppress(OSError, ValueError, LookupError, TypeError):
        kept = json.loads(path.read_bytes())
        if kept["of"] == of_what:
            return float(kept["recall"])
    recall = measure()
    with suppress(OSError):
        path.write_text(json.dumps({"recall": recall, "of": of_what}))
    return recall


def _recall(
    retriever: Retriever, scorer: OnnxScorer, users: Sequence[Profile], num_items: int
) -> float:
    """1 for nobody: there is nothing that has been missed."""
    if not users:
        return 1.0
    best = [top_places(scorer.score(profile), 0, RECALL_AT) for profile in users]
    everything = Eligible(num_items, np.empty(0, dtype=np.intp))
    found = retriever.best([Query(profile, everything, RECALL_AT) for profile in users])
    shares = [np.isin(rows, ranked.rows).mean() for rows, ranked in zip(best, found, strict=True)]
    return float(np.mean(shares))
