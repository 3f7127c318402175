"""The approximate first stage: an index finds candidates, and only these are routed.

A user's mean gate over well-known items, folded into the user's vector, makes every score nearly
linear in the item's vectors. Such inner products are searched in an index of projected vectors, in
clusters, at 8 bits a number, without looking at most of them. Items that only an item-item score
lifts are not found that way: those with the largest of them are candidates too. So are all items
that a query gives positive points. What the index finds does not help where so many are raised that
routing them takes long, or where points push down most of it: then the search is exact.

Letters: I items, C candidates, V views, M modalities, D dimension, G = V * M channels, F width of
an item's vectors side by side and its bias, P projected width, N items found.
"""

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model.runtime.half import in_32_bits, rows_of
from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import Rows, top_places
from service.retrieval.bounds import channels, cosines, unit_channels
from service.retrieval.exact import ExactRetriever
from service.retrieval.query import Eligible, Floats, Query, Ranked, Tensors

PROJECTED_WIDTH = 128
"""Of 385 numbers per item with three modalities. The two views of a modality hardly differ, so that
a third of the width holds 96 % of the inner products; every item found is routed exactly anyway."""
BIAS_WEIGHT = 2.0
"""The item's bias is this many times larger in its vector, and the query's 1 as many times smaller.
Clusters then hold items of like bias; otherwise the most biased items, which are in most lists, are
spread over all clusters (recall@20 0.94 at weight 1, 0.98 at 2, all else equal)."""
PROBED = 96
"""Clusters searched (recall@20 at a million items in 2,048 clusters: 0.968 with 16, 0.978 with 32,
0.996 with 64; docs/benchmarks.md has it for this number)."""
STAGES = ((50, 256), (500, 2048))
"""Ranks up to the first number come from so many candidates of the index, and at most as many by
their item-item scores. Each stage leaves out what the earlier ones have listed, so that a page does
not depend on where others begin. Later ranks are exact. On grown models 200 candidates hold the
whole top 20 (docs/benchmarks.md)."""
_MARGIN = 4.0
"""Standard deviations: as many more than its fair share of the candidates a part of the items
gets, as if they were spread over all parts at random."""
_LEAST_CANDIDATES = 2
"""For each rank, however small the part."""
ROUTED_DIRECTLY = 16_384
"""So few eligible items are all routed: 2 ms, and no cluster can be missed."""
_ANCHORS = 64
"""Items over which a user's mean gate is taken: the most popular, likely to be in a list."""
_SAMPLED = 100_000
"""Items that the projection is fitted to."""
_PER_CLUSTER = 30
"""Items per cluster that clusters are fitted to; faiss itself warns below 39, to no effect here."""
_ROUNDS = 6
"""Of k-means."""
_BLOCK_ROWS = 65_536
_SEED = 0
_INDEX, _PROJECTION, _CHECKSUM = "index.faiss", "projection.npy", "checksum"


def is_installed() -> bool:
    """Whether there is a faiss to import."""
    return importlib.util.find_spec("faiss") is not None


@dataclass(frozen=True, slots=True)
class Effort:
    """How many items are looked at."""

    probed: int
    """See `PROBED`."""
    stages: tuple[tuple[int, int], ...]
    """See `STAGES`."""

    @classmethod
    def of_share(cls, share: float) -> Self:
        """For a part of all items, so that all parts find together what one index of all finds."""
        if share >= 1:
            return cls(PROBED, STAGES)
        stages = (
            (last_rank, max(_fair(candidates, share), _LEAST_CANDIDATES * last_rank))
            for last_rank, candidates in STAGES
        )
        return cls(_fair(PROBED, share), tuple(stages))


def _fair(count: int, share: float) -> int:
    spread = math.sqrt(count * share * (1 - share))
    return min(count, math.ceil(count * share + _MARGIN * spread))


class FaissIndex:
    """Finds items by the inner product with a query; safe to share by threads."""

    def __init__(self, index: Any, projection_FP: Floats) -> None:
        self._index = index
        self._projection_FP = projection_FP

    @classmethod
    def build(cls, items_IVMD: Floats, bias_I: Floats) -> Self:
        """Fit and fill an index; some ten seconds for a million items. Blocking."""
        with threadpool_limits(limits=1):  # requests are served meanwhile
            return cls._build(items_IVMD, bias_I)

    @classmethod
    def _build(cls, items_IVMD: Floats, bias_I: Floats) -> Self:
        faiss = _faiss()
        rng = np.random.default_rng(_SEED)
        num_items = len(bias_I)
        rows = np.sort(rng.choice(num_items, min(num_items, _SAMPLED), replace=False))
        sample_IF = _extended(items_IVMD[rows], bias_I[rows])
        projection_FP = _projection(sample_IF)
        sample_IP = sample_IF @ projection_FP
        width = projection_FP.shape[1]
        num_clusters = _num_clusters(num_items)
        kmeans = faiss.Kmeans(
            width,
            num_clusters,
            niter=_ROUNDS,
            seed=_SEED,
            max_points_per_centroid=_PER_CLUSTER,
            min_points_per_centroid=1,
        )
        kmeans.train(sample_IP)
        nearest = faiss.IndexFlatL2(width)
        nearest.add(kmeans.centroids)
        probed = faiss.IndexFlatIP(width)
        probed.add(kmeans.centroids)
        index = faiss.IndexIVFScalarQuantizer(
            probed,
            width,
            num_clusters,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,  # the vectors themselves, not their distance from the cluster's centre
        )
        index.train(sample_IP)
        for start in range(0, num_items, _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            block_IP = _extended(items_IVMD[block], bias_I[block]) @ projection_FP
            _, cluster_I1 = nearest.search(block_IP, 1)
            cluster_I = np.ascontiguousarray(cluster_I1[:, 0])
            row_I = np.arange(start, start + len(block_IP))
            pointers = [faiss.swig_ptr(array) for array in (block_IP, row_I, cluster_I)]
            index.add_core(len(block_IP), *pointers)
        return cls(index, projection_FP)

    def nearest(
        self,
        query_F: Floats,
        count: int,
        mask_I: NDArray[np.bool_] | None = None,
        *,
        probed: int = PROBED,
    ) -> Rows:
        """Rows of about the `count` largest inner products with [vectors, 1], ascending.

        Args:
            query_F: as long as an item's vectors.
            count: how many; fewer are found if the clusters searched hold no more.
            probed: how many clusters are searched.
            mask_I: which rows may be found; all if None.
        """
        extended_F = np.append(query_F, np.float32(1 / BIAS_WEIGHT)).astype(np.float32)
        query_1P = (extended_F @ self._projection_FP)[None]
        faiss, selector = _faiss(), None
        if mask_I is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(mask_I, bitorder="little"))
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probed)
        _, row_1N = self._index.search(query_1P, count, params=parameters)
        return np.sort(row_1N[0][row_1N[0] >= 0])

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        faiss = _faiss()
        faiss.write_index(self._index, str(folder / _INDEX))
        np.save(folder / _PROJECTION, self._projection_FP)
        (folder / _CHECKSUM).write_text(_checksum(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what `save` wrote into memory, shared with whoever else does so; OSError."""
        faiss = _faiss()
        try:
            if (folder / _CHECKSUM).read_text() != _checksum(folder):
                raise ValueError("its checksum differs")
            index = faiss.read_index(str(folder / _INDEX), faiss.IO_FLAG_MMAP)
            # Else each search starts 32 threads that read what it is going to, though it is in
            # memory since its checksum was made: five times the processor time.
            faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
            return cls(index, np.load(folder / _PROJECTION))
        except (RuntimeError, ValueError) as error:
            raise OSError(f"{folder} holds no usable index: {error}") from error


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256((folder / _PROJECTION).read_bytes())
    with (folder / _INDEX).open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _faiss() -> Any:
    import faiss  # noqa: PLC0415  # optional

    return faiss


def _extended(items_IVMD: Floats, bias_I: Floats) -> Floats:
    """Items' vectors side by side and their bias [I, F]."""
    flat_IF = in_32_bits(items_IVMD.reshape(len(items_IVMD), -1))
    return np.concatenate([flat_IF, bias_I[:, None] * np.float32(BIAS_WEIGHT)], axis=1)


def _projection(sample_IF: Floats) -> Floats:
    """The directions that hold most of the inner products: uncentred principal components."""
    moment_FF = (sample_IF.T @ sample_IF).astype(np.float64)
    _, direction_FF = np.linalg.eigh(moment_FF)
    width = min(PROJECTED_WIDTH, len(moment_FF))
    return np.ascontiguousarray(direction_FF[:, ::-1][:, :width], dtype=np.float32)


def _num_clusters(num_items: int) -> int:
    """A power of two near 2 sqrt(I): searching them costs about as much as searching inside."""
    return int(2 ** max(2, round(np.log2(2 * np.sqrt(num_items)))))


def _raised(query: Query) -> Rows:
    """Eligible items with positive points."""
    if query.points_I is None:
        return np.empty(0, dtype=np.intp)
    return query.eligible.among(np.flatnonzero(query.points_I > 0))


def _pushed_down(query: Query, scores_C: Floats, best: Ranked, num_candidates: int) -> bool:
    """Whether items that were not found may be better than the last of the best.

    Without points, they are worse than most of the candidates.
    """
    if query.points_I is None:
        return False
    return int((scores_C > best.scores[-1]).sum()) > num_candidates // 2


class ApproximateRetriever:
    """Finds nearly the best items of one large model version; safe to share by threads."""

    name: Literal["approximate"] = "approximate"

    def __init__(
        self,
        exact: ExactRetriever,
        index: FaissIndex,
        scorer: OnnxScorer,
        tensors: Tensors,
        effort: Effort,
    ) -> None:
        """The index is of the items of these tensors."""
        self._exact = exact
        self._index = index
        self._effort = effort
        self._scorer = scorer
        self._anchor_rows = top_places(tensors["item_popularity"], 0, _ANCHORS)
        anchor_GCD = channels(rows_of(tensors["item_embeddings"])[self._anchor_rows])
        self._anchor_GDC = np.ascontiguousarray(anchor_GCD.transpose(0, 2, 1))

    def search_exactly_by(self, exact: ExactRetriever) -> None:
        """From now on use another one, of the same answers, where the index does not help."""
        self._exact = exact

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """Nearly the best items of every query, in the order of their exact scores."""
        return [self._best(query) for query in queries]

    def _best(self, query: Query) -> Ranked:
        raised = _raised(query)
        if len(query.eligible) <= ROUTED_DIRECTLY or len(raised) > ROUTED_DIRECTLY:
            return self._exact.best([query])[0]
        linear_F = self._linear(query.profile)
        found = Ranked.nothing()
        for last_rank, num_candidates in self._effort.stages:
            wanted = last_rank - len(found.rows)
            eligible = query.eligible.without(found.rows)
            rows_C = np.union1d(
                self._candidates(linear_F, eligible, num_candidates),
                self._lifted(query.profile, eligible, num_candidates),
            )
            rows_C = np.union1d(rows_C, eligible.among(raised))
            if len(rows_C) < wanted:
                break
            (scored,) = self._scorer.score_own([query.profile], [rows_C])
            best = Ranked.best_of(replace(query, count=wanted), rows_C, scored)
            if _pushed_down(query, scored.score_C, best, num_candidates):
                break
            found = found.then(best)
            if query.count <= last_rank:
                return found.first(query.count)
        rest = query.eligible.without(found.rows)
        count = query.count - len(found.rows)
        return found.then(self._exact.best([replace(query, eligible=rest, count=count)])[0])

    def _candidates(self, linear_F: Floats, eligible: Eligible, count: int) -> Rows:
        nearest = partial(self._index.nearest, linear_F, probed=self._effort.probed)
        if eligible.only is None and len(eligible.excluded) <= count:
            return eligible.among(nearest(count + len(eligible.excluded)))
        return nearest(count, eligible.mask_I)

    def _lifted(self, profile: Profile, eligible: Eligible, count: int) -> Rows:
        """Items with the largest item-item scores."""
        some_out = count + len(eligible.excluded)
        rows = eligible.num_items if eligible.only is not None else some_out
        return eligible.among(profile.item_item.largest(rows))[:count]

    def _linear(self, profile: Profile) -> Floats:
        """The user's unit rows, each times its weight in the user's scores [F].

        A contribution is gate times cosine, and the gate differs by item. The weight is the
        least-squares slope of contributions over cosines, both without item-item scores.
        """
        user_G1D = unit_channels(profile.vector_VMD[None])
        cosine_GC = cosines(user_G1D, self._anchor_GDC)[:, 0]
        breakdown = self._scorer.explain(profile.by_vector_alone(), self._anchor_rows)
        contribution_CVM = breakdown.contribution_CKVM.sum(axis=1)
        contribution_GC = contribution_CVM.reshape(len(self._anchor_rows), -1).T
        slope_G = (contribution_GC * cosine_GC).sum(axis=1)
        slope_G /= np.maximum((cosine_GC**2).sum(axis=1), np.float32(1e-9))
        linear_GD = user_G1D[:, 0] * np.maximum(slope_G, 0)[:, None]
        linear_F: Floats = linear_GD.reshape(-1)
        return linear_F
