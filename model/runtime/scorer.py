"""The exported graphs in onnxruntime: scores of items, and scores taken apart.

The only module that runs a graph of an artifact. Calls block; callers bring their own worker
thread.

Letters: I items, C candidates, B users, V views, M modalities, D dimension, K experts,
J routing channels, P pairs, G similarity channels.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from model.artifact.files import ArtifactError
from model.runtime.grown import Grown, GrownRows
from model.runtime.half import rows_of
from model.runtime.native.kernels import kernels
from model.runtime.pairs import PairGraph, pair_inputs, runs
from model.runtime.profile import Profile
from model.tracing.spans import part

INPUTS = ("user", "item", "item_routing", "item_bias", "neighbourhood")
"""Of both graphs, in order."""
OUTPUTS = {"head.onnx": ("score",), "explain.onnx": ("score", "weight", "contribution")}
"""Users share the candidates [C] of `head.onnx`; each has their own [B, C] in `explain.onnx`."""

BLOCK_ROWS = 8192
"""Candidates of one run: bounds the memory of one request, whatever the catalogue."""
BLOCK_PAIRS = 262_144
"""Pairs of user and candidate in one run: some 50 MB."""
RUN_PAIRS = 4_096
"""Pairs of users and items of their own in one run: what lies between the steps stays in a
processor's cache."""

_FAULTS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Scores taken apart: score = bias + the sum of the contributions."""

    weight_CK: Floats
    """Sparse; each row sums to 1."""
    contribution_CKVM: Floats

    def at(self, places: Rows) -> "Breakdown":
        """Of some of the scores, or of all in another order."""
        return Breakdown(
            weight_CK=self.weight_CK.take(places, axis=0),
            contribution_CKVM=self.contribution_CKVM.take(places, axis=0),
        )

    def between(self, start: int, stop: int) -> "Breakdown":
        """Of the scores [start, stop); not copied."""
        return Breakdown(
            weight_CK=self.weight_CK[start:stop],
            contribution_CKVM=self.contribution_CKVM[start:stop],
        )

    def then(self, others: "Breakdown") -> "Breakdown":
        """Of these scores, and of others behind them."""
        weights = np.concatenate([self.weight_CK, others.weight_CK])
        contributions = np.concatenate([self.contribution_CKVM, others.contribution_CKVM])
        return Breakdown(weight_CK=weights, contribution_CKVM=contributions)


class Scored(NamedTuple):
    """Scores of some items, taken apart if that came with them."""

    score_C: Floats
    breakdown: Breakdown | None = None


class ScoredPairs(NamedTuple):
    """Scores of several users' own items, one user's after the other's."""

    score_P: Floats
    breakdown: Breakdown | None
    """Those scores taken apart, if that came with them."""


class OnnxScorer:
    """Scores any profile against the items of one model version; safe to share by threads."""

    def __init__(self, files: Mapping[str, bytes], tensors: Mapping[str, NDArray[Any]]) -> None:
        """From an artifact's files and tensors; ArtifactError if a graph cannot be used."""
        self._head, self._explain = (open_graph(name, files[name]) for name in OUTPUTS)
        self._pairs = PairGraph.of(files["explain.onnx"], partial(open_session, "explain.onnx"))
        self._embeddings_IVMD: Grown = rows_of(tensors["item_embeddings"])
        self._routing_IJ: Grown = np.asarray(tensors["item_routing"])
        self.bias_I: Grown = np.asarray(tensors["item_bias"])

    def of_items(self, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The same graphs over other items."""
        other = copy.copy(self)
        other._embeddings_IVMD = rows_of(tensors["item_embeddings"])
        other._routing_IJ = tensors["item_routing"]
        other.bias_I = tensors["item_bias"]
        return other

    def grown_by(self, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The same items, and others whose rows follow theirs."""
        other = copy.copy(self)
        other._embeddings_IVMD = _grown(self._embeddings_IVMD, tensors["item_embeddings"])
        other._routing_IJ = _grown(self._routing_IJ, tensors["item_routing"])
        other.bias_I = _grown(self.bias_I, tensors["item_bias"])
        return other

    def score(self, profile: Profile, rows_C: Rows | None = None) -> Floats:
        """Scores [C] of some items by exact routing, or [I] of all of them."""
        score_C: Floats = self.score_all([profile], rows_C)[0]
        return score_C

    def score_all(self, profiles: Sequence[Profile], rows_C: Rows | None = None) -> Floats:
        """Scores [B, C] of the same items for several users, or [B, I] of all items."""
        with part("route"):
            return self._score_all(profiles, rows_C)

    def _score_all(self, profiles: Sequence[Profile], rows_C: Rows | None) -> Floats:
        num_rows = len(self.bias_I) if rows_C is None else len(rows_C)
        user_BVMD = _stacked([profile.vector_VMD for profile in profiles])
        step = max(1, min(BLOCK_ROWS, BLOCK_PAIRS // len(profiles)))
        if 0 < num_rows <= step:  # the usual request
            place = slice(0, num_rows) if rows_C is None else rows_C
            return self._shared(profiles, user_BVMD, place)
        score_BC = np.empty((len(profiles), num_rows), dtype=np.float32)
        for start in range(0, num_rows, step):
            block = slice(start, min(start + step, num_rows))
            place = block if rows_C is None else rows_C[block]
            score_BC[:, block] = self._shared(profiles, user_BVMD, place)
        return score_BC

    def score_own(self, profiles: Sequence[Profile], rows: Sequence[Rows]) -> list[Scored]:
        """Scores of each user's own items: users share runs."""
        score_P, breakdown = self.score_pairs(profiles, rows)
        ends = [0, *accumulate(map(len, rows))]
        return [
            Scored(score_P[start:end], breakdown and breakdown.between(start, end))
            for start, end in pairwise(ends)
        ]

    def score_pairs(self, profiles: Sequence[Profile], rows: Sequence[Rows]) -> ScoredPairs:
        """The same, one user's after the other's."""
        if len(rows) == 1 and (self._pairs is None or kernels() is None):
            return ScoredPairs(self.score(profiles[0], rows[0]), None)  # the whole graph is quicker
        with part("route"):
            score_P, weight_PK, contribution_PKVM = self._of_pairs(
                ["score", "weight", "contribution"], profiles, rows
            )
        breakdown = Breakdown(weight_CK=weight_PK, contribution_CKVM=contribution_PKVM)
        return ScoredPairs(score_P, breakdown)

    def explain(self, profile: Profile, rows_C: Rows) -> Breakdown:
        """What every expert, view and modality adds to the scores of some items."""
        return self.explain_all([profile], rows_C[None])[0]

    def explain_all(self, profiles: Sequence[Profile], rows_BC: Rows) -> list[Breakdown]:
        """The same for several users, each with as many items of their own."""
        weight_PK, contribution_PKVM = self._of_pairs(
            ["weight", "contribution"], profiles, [*rows_BC]
        )
        both = Breakdown(weight_CK=weight_PK, contribution_CKVM=contribution_PKVM)
        num_users, size = rows_BC.shape
        return [both.between(number * size, (number + 1) * size) for number in range(num_users)]

    def by_expert(self, profile: Profile, rows_C: Rows) -> Floats:
        """What every expert adds to the scores of any number of items [C, K]."""
        parts = [
            self.explain(profile, rows_C[start : start + BLOCK_ROWS]).contribution_CKVM.sum((2, 3))
            for start in range(0, len(rows_C), BLOCK_ROWS)
        ]
        contribution_CK: Floats = np.concatenate(parts)
        return contribution_CK

    def reach(self) -> float:
        """What a pair gets above its bias where every similarity is 1: the scale of all scores.

        The graph itself is asked, so it need not be known from elsewhere.
        """
        vectors_1VMD = np.zeros((1, *self._embeddings_IVMD.shape[1:]), dtype=np.float32)
        vectors_1VMD[..., 0] = 1
        routing_1J, bias_1, item_item_11 = (
            np.zeros(shape, dtype=np.float32)
            for shape in ((1, self._routing_IJ.shape[1]), (1,), (1, 1))
        )
        feeds = _feeds(vectors_1VMD, vectors_1VMD, routing_1J, bias_1, item_item_11)
        return float(self._head.run(["score"], feeds)[0][0, 0])

    def _shared(
        self, profiles: Sequence[Profile], user_BVMD: Floats, place: slice | Rows
    ) -> Floats:
        """One run of `head.onnx` [B, C]."""
        if isinstance(place, slice):
            item_item = [each.item_item.between(place.start, place.stop) for each in profiles]
        else:
            item_item = [each.item_item.at(place) for each in profiles]
        items = self._embeddings_IVMD[place], self._routing_IJ[place], self.bias_I[place]
        feeds = _feeds(user_BVMD, *items, _stacked(item_item))
        score_BC: Floats = self._head.run(["score"], feeds)[0]
        return score_BC

    def _of_pairs(
        self, wanted: Sequence[str], profiles: Sequence[Profile], rows: Sequence[Rows]
    ) -> list[Floats]:
        """Outputs of `explain.onnx` for each user's own items, one user's after the other's."""
        if sum(map(len, rows)) <= RUN_PAIRS:  # the usual request
            return self._run(wanted, profiles, rows)
        outputs = []
        for run in runs(rows, RUN_PAIRS):
            places, parts = zip(*run, strict=True)
            outputs.append(self._run(wanted, [profiles[place] for place in places], parts))
        return [np.concatenate(each) for each in zip(*outputs, strict=True)]

    def _run(
        self, wanted: Sequence[str], profiles: Sequence[Profile], rows: Sequence[Rows]
    ) -> list[Floats]:
        """The same by one run of the graph."""
        compiled = kernels()
        if self._pairs is None or (compiled is None and len(profiles) == 1):
            return self._run_whole(wanted, profiles, rows)
        users = self._pairs.users(_stacked([profile.vector_VMD for profile in profiles]))
        items_IVMD, routing_IJ, bias_I = self._embeddings_IVMD, self._routing_IJ, self.bias_I
        said = [profile.item_item for profile in profiles]
        if (
            compiled is None
            or not isinstance(items_IVMD, np.ndarray)
            or not isinstance(routing_IJ, np.ndarray)
            or not isinstance(bias_I, np.ndarray)
        ):
            made = pair_inputs((items_IVMD, routing_IJ, bias_I), users, rows, said)
        else:
            items = items_IVMD, routing_IJ, bias_I
            made = compiled.pairs(items, users, rows, [each.laid_out for each in said])
        return self._pairs.pairs(wanted, made)

    def _run_whole(
        self, wanted: Sequence[str], profiles: Sequence[Profile], rows: Sequence[Rows]
    ) -> list[Floats]:
        """The same by the whole graph, user by user."""
        outputs = []
        for profile, rows_C in zip(profiles, rows, strict=True):
            items = self._embeddings_IVMD[rows_C], self._routing_IJ[rows_C], self.bias_I[rows_C]
            item_item_C = profile.item_item.at(rows_C)
            of_items = [each[None] for each in (*items, item_item_C)]
            outputs.append(self._explain.run(wanted, _feeds(profile.vector_VMD[None], *of_items)))
        return [np.concatenate(each, axis=1)[0] for each in zip(*outputs, strict=True)]


def _grown(base: Grown, added: NDArray[Any]) -> GrownRows:
    assert not isinstance(base, GrownRows)
    return GrownRows(base, added)


def _feeds(*inputs: Floats) -> dict[str, Floats]:
    return dict(zip(INPUTS, inputs, strict=True))


def _stacked(arrays: Sequence[Floats]) -> Floats:
    """Along a new first axis; one alone, the usual case of a request, is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def open_session(name: str, graph: bytes) -> Any:
    """A session of one thread of a graph of an artifact; ArtifactError if it is none."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _FAULTS as error:
        raise ArtifactError(f"{name} cannot be loaded: {error}; export it again") from error


def open_graph(name: str, graph: bytes) -> Any:
    """A session of `head.onnx` or `explain.onnx`; ArtifactError if it is neither."""
    session = open_session(name, graph)
    has_inputs = [node.name for node in session.get_inputs()]
    has_outputs = [node.name for node in session.get_outputs()]
    if sorted(has_inputs) != sorted(INPUTS) or not set(OUTPUTS[name]) <= set(has_outputs):
        raise ArtifactError(
            f"{name} maps {has_inputs} to {has_outputs}, "
            f"expected {list(INPUTS)} to {list(OUTPUTS[name])}"
        )
    return session
