"""The exported head in onnxruntime: scores, and scores taken apart.

The only module that touches onnxruntime. Blocking; callers bring their own worker thread. Knows
rows, not ids.

Letters: I items, C candidates, B users, V views, M modalities, D dimension, K experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from model.artifact.files import ArtifactError
from model.runtime.profile import Profile

BLOCK_ROWS = 8192
"""Candidates scored at once: bounds the memory of one request, whatever the catalogue."""
SHARED_ROWS = 256
"""So many items of one user are scored by themselves: more gain nothing from sharing a run."""
_RUN_BYTES = 1_000_000
"""Of item vectors in a run that users share: memory below `allocator`'s limit is used again and
again, that above it is given back and cleared each time (measured: 82 us a user against 204)."""

_INPUTS = ["user", "item", "item_routing", "item_bias", "neighbourhood"]
_FAULTS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Scores taken apart: score = bias + the sum of the contributions."""

    weight_CK: NDArray[np.float32]
    """Sparse; each row sums to 1."""
    contribution_CKVM: NDArray[np.float32]


class OnnxScorer:
    """Scores any profile against the items of one model version; safe to share by threads."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        embeddings_IVMD: NDArray[np.float32],
        routing_IR: NDArray[np.float32],
        bias_I: NDArray[np.float32],
    ) -> None:
        self._head = _session(files, "head.onnx", ["score"])
        self._explain = _session(files, "explain.onnx", ["score", "weight", "contribution"])
        # Plain arrays over the same memory: every part of a mapped one is made as a map again.
        self._embeddings_IVMD = np.asarray(embeddings_IVMD)
        self._routing_IR = np.asarray(routing_IR)
        self._bias_I = np.asarray(bias_I)

    def score(
        self, profile: Profile, rows_C: NDArray[np.intp] | None = None
    ) -> NDArray[np.float32]:
        """Scores [C] of some items by exact routing, or [I] of all of them."""
        num_rows = len(self._bias_I) if rows_C is None else len(rows_C)
        scores_C = np.empty(num_rows, dtype=np.float32)
        for start in range(0, num_rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, num_rows)
            if rows_C is None:
                place: slice | NDArray[np.intp] = slice(start, stop)
                neighbourhood_C = profile.neighbourhood.between(start, stop)
            else:
                place = rows_C[start:stop]
                neighbourhood_C = profile.neighbourhood.at(place)
            feeds = {
                "user": profile.vector_VMD[None],
                "item": self._embeddings_IVMD[place],
                "item_routing": self._routing_IR[place],
                "item_bias": self._bias_I[place],
                "neighbourhood": neighbourhood_C[None],
            }
            scores_C[start:stop] = self._head.run(["score"], feeds)[0][0]
        return scores_C

    def score_own(
        self, profiles: Sequence[Profile], rows: Sequence[NDArray[np.intp]]
    ) -> list[NDArray[np.float32]]:
        """Scores of each user's own items, some for every user: short lists share a run."""
        longest = max(map(len, rows))
        if len(rows) == 1 or longest > SHARED_ROWS:
            return [self.score(*pair) for pair in zip(profiles, rows, strict=True)]
        rows_BC = np.zeros((len(rows), longest), dtype=np.intp)  # filled up with the first item
        for padded_C, rows_C in zip(rows_BC, rows, strict=True):
            padded_C[: len(rows_C)] = rows_C
        found: list[NDArray[np.float32]] = []
        step = max(1, _RUN_BYTES // (longest * self._embeddings_IVMD[0].nbytes))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            feeds = self._pairs(profiles[block], rows_BC[block])
            score_BC = self._explain.run(["score"], feeds)[0]
            found += [
                scores_C[: len(rows_C)]
                for scores_C, rows_C in zip(score_BC, rows[block], strict=True)
            ]
        return found

    def explain(self, profile: Profile, rows_C: NDArray[np.intp]) -> Breakdown:
        """What every expert, view and modality adds to the scores of some items."""
        return self.explain_all([profile], rows_C[None])[0]

    def explain_all(
        self, profiles: Sequence[Profile], rows_BC: NDArray[np.intp]
    ) -> list[Breakdown]:
        """The same for several users, each with as many items of her own."""
        found: list[Breakdown] = []
        step = max(1, BLOCK_ROWS // max(1, rows_BC.shape[1]))
        for start in range(0, len(rows_BC), step):
            feeds = self._pairs(profiles[start : start + step], rows_BC[start : start + step])
            parts = zip(*self._explain.run(["weight", "contribution"], feeds), strict=True)
            found += [Breakdown(weight_CK=w, contribution_CKVM=c) for w, c in parts]
        return found

    def _pairs(
        self, profiles: Sequence[Profile], rows_BC: NDArray[np.intp]
    ) -> dict[str, NDArray[np.float32]]:
        """Of every user with her own items, what the graph that takes scores apart is fed with."""
        return {
            "user": np.stack([profile.vector_VMD for profile in profiles]),
            "item": self._embeddings_IVMD.take(rows_BC, axis=0),
            "item_routing": self._routing_IR.take(rows_BC, axis=0),
            "item_bias": self._bias_I.take(rows_BC),
            "neighbourhood": np.stack(
                [each.neighbourhood.at(own) for each, own in zip(profiles, rows_BC, strict=True)]
            ),
        }

    def reach(self) -> float:
        """What a pair gets above its bias where every similarity is 1: the scale of all scores.

        Asked of the graph itself, so that nothing about it need be known from elsewhere.
        """
        pair_VMD = np.zeros(self._embeddings_IVMD.shape[1:], dtype=np.float32)
        pair_VMD[..., 0] = 1
        feeds = {
            "user": pair_VMD[None],
            "item": pair_VMD[None],
            "item_routing": np.zeros((1, self._routing_IR.shape[1]), dtype=np.float32),
            "item_bias": np.zeros(1, dtype=np.float32),
            "neighbourhood": np.zeros((1, 1), dtype=np.float32),
        }
        return float(self._head.run(["score"], feeds)[0][0, 0])

    def by_expert(self, profile: Profile, rows_C: NDArray[np.intp]) -> NDArray[np.float32]:
        """What every expert adds to the scores of any number of items [C, K]."""
        parts = [
            self.explain(profile, rows_C[start : start + BLOCK_ROWS]).contribution_CKVM.sum((2, 3))
            for start in range(0, len(rows_C), BLOCK_ROWS)
        ]
        contribution_CK: NDArray[np.float32] = np.concatenate(parts)
        return contribution_CK


def _session(files: Mapping[str, bytes], name: str, outputs: list[str]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(
            files[name], sess_options=options, providers=["CPUExecutionProvider"]
        )
    except _FAULTS as error:
        raise ArtifactError(f"{name} cannot be loaded: {error}; export it again") from error
    has_inputs = [node.name for node in session.get_inputs()]
    has_outputs = [node.name for node in session.get_outputs()]
    if sorted(has_inputs) != sorted(_INPUTS) or not set(outputs) <= set(has_outputs):
        raise ArtifactError(
            f"{name} maps {has_inputs} to {has_outputs}, expected {_INPUTS} to {outputs}"
        )
    return session
