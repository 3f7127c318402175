from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from model.artifact.build import build_artifact, untrained, with_tables
from model.artifact.files import Artifact
from model.artifact.manifest import ExpertSpec, FileSpec, Golden
from model.artifact.report import REPORT
from model.runtime.artifact import ArtifactScorer
from model.runtime.item_item import SparseScores
from model.runtime.profile import Profile
from training.export.report import report_file

USERS, ITEMS, VIEWS, MODALITIES, DIM, THRESHOLD = 30, 80, 2, 3, 8, 0.5
NAMES = ["behaviour", "text", "picture"]
TEMPLATE_KM = np.array(
    [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.34, 0.33, 0.33], [0.45, 0.1, 0.45]],
    dtype=np.float32,
)
EXPERTS = len(TEMPLATE_KM)
RELIABILITY_M1 = np.array([[1.5], [0.8], [0.7]], dtype=np.float32)
"""How long items' rows are in each modality."""
DEVIATION = 0.3
"""That item-item scores of a history are brought to."""
CORNER_VM = np.zeros((VIEWS, MODALITIES), dtype=np.float32)
CORNER_VM[0, 0] = 1

# A small head of the same interface as the exported one, written by hand so that the service is
# tested against a graph whose every output can be computed in numpy (see `reference`).
_BODY = """
    unit = LpNormalization <axis: int = -1, p: int = 2> (user)
    similarity = Einsum <equation: string = "{equation}"> (unit, item)
    affinity = Einsum <equation: string = "bcvm,km->bck"> (similarity, template)
    routing = {routing}
    own = Slice (routing, start0, startk, last)
    logits = Add (affinity, own)
    best = ReduceMax <keepdims: int = 1> (logits, last)
    least = Add (best, log_threshold)
    chosen = GreaterOrEqual (logits, least)
    masked = Where (chosen, logits, low)
    weight = Softmax <axis: int = -1> (masked)
    gate_logit = Slice (routing, startk, stopk, last)
    gate = Sigmoid (gate_logit)
    rest = Sub (one, gate)
    views = Concat <axis: int = -1> (rest, gate)
    views4 = Unsqueeze (views, last)
    said = Unsqueeze (neighbourhood, inner2)
    said_of_behaviour = Mul (said, corner)
    joined = Add (similarity, said_of_behaviour)
    gated = Mul (joined, views4)
    gated5 = Unsqueeze (gated, two)
    weight5 = Unsqueeze (weight, ends)
    shares = Mul (weight5, template3)
    contribution = Mul (shares, gated5)
    total = ReduceSum <keepdims: int = 0> (contribution, inner)
    score = Add (total, item_bias)
"""


def _graph(name: str, inputs: str, outputs: str, **body: str) -> bytes:
    text = f"""
    <ir_version: 10, opset_import: ["": 20]>
    {name} ({inputs}) => ({outputs})
    <int64[1] start0 = {{0}}, int64[1] startk = {{{EXPERTS}}}, int64[1] stopk = {{{EXPERTS + 1}}},
     int64[1] last = {{-1}}, int64[1] two = {{2}},
     int64[2] ends = {{3, 4}}, int64[2] inner2 = {{2, 3}}, int64[3] inner = {{2, 3, 4}},
     float low = {{-1e9}}, float one = {{1.0}}, float log_threshold = {{{np.log(THRESHOLD)}}}>
    {{ {_BODY.format(**body)} }}
    """
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(TEMPLATE_KM, "template"),
            onnx.numpy_helper.from_array(TEMPLATE_KM[:, None, :], "template3"),
            onnx.numpy_helper.from_array(CORNER_VM, "corner"),
        ]
    )
    data: bytes = model.SerializeToString()
    return data


def _head() -> bytes:
    return _graph(
        "head",
        f"float[B,{VIEWS},{MODALITIES},{DIM}] user, float[C,{VIEWS},{MODALITIES},{DIM}] item, "
        f"float[C,{EXPERTS + 1}] item_routing, float[C] item_bias, float[B,C] neighbourhood",
        "float[B,C] score",
        equation="bvmd,cvmd->bcvm",
        routing="Unsqueeze (item_routing, start0)",
    )


def _explain() -> bytes:
    return _graph(
        "explain",
        f"float[B,{VIEWS},{MODALITIES},{DIM}] user, float[B,C,{VIEWS},{MODALITIES},{DIM}] item, "
        f"float[B,C,{EXPERTS + 1}] item_routing, float[B,C] item_bias, float[B,C] neighbourhood",
        f"float[B,C] score, float[B,C,{EXPERTS}] weight, "
        f"float[B,C,{EXPERTS},{VIEWS},{MODALITIES}] contribution",
        equation="bvmd,bcvmd->bcvm",
        routing="Identity (item_routing)",
    )


def _reference(
    tensors: dict[str, NDArray[Any]], profile: Profile, rows: NDArray[np.intp]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Score [C], weight [C, K] and contribution [C, K, V, M] of the graphs above, in numpy."""
    unit_VMD = _unit(profile.vector_VMD)
    similarity = np.einsum("vmd,cvmd->cvm", unit_VMD, tensors["item_embeddings"][rows])
    routing = tensors["item_routing"][rows]
    logits = np.einsum("cvm,km->ck", similarity, TEMPLATE_KM) + routing[:, :EXPERTS]
    weight = np.exp(logits)
    weight[weight < THRESHOLD * weight.max(axis=1, keepdims=True)] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    gate = 1 / (1 + np.exp(-routing[:, EXPERTS]))
    views = np.stack([1 - gate, gate], axis=1)
    said_I = np.zeros(len(tensors["item_bias"]), dtype=np.float32)
    said_I[profile.item_item.rows_N] = profile.item_item.values_N
    similarity[:, 0, 0] += said_I[rows]
    contribution = np.einsum("ck,km,cv,cvm->ckvm", weight, TEMPLATE_KM, views, similarity)
    return tensors["item_bias"][rows] + contribution.sum((1, 2, 3)), weight, contribution


def _profile(
    tensors: dict[str, NDArray[Any]],
    *histories: Sequence[int],
    user: int | None = None,
    deviation: float | None = DEVIATION,
) -> Profile:
    """Of histories with an equal say, all of whose items count alike: by the definition, dense.

    The first is that of `user`, if there is one, whose vector has a free part too.
    """
    num_items = len(tensors["item_bias"])
    offsets = tensors["neighbourhood_offsets"]
    vectors, said = [], []
    for history in histories:
        rows = np.array(history, dtype=np.intp)
        vectors.append(_fold_in(tensors["item_foldin"][rows]))
        said_I = np.zeros(num_items)
        for row in rows:
            part = slice(offsets[row], offsets[row + 1])
            said_I[tensors["neighbourhood_items"][part]] += tensors["neighbourhood_weights"][part]
        said_I /= max(1, len(rows))
        if deviation is not None and said_I.std() > 0:
            said_I *= deviation / said_I.std()
        said.append(said_I)
    if user is not None:
        vectors[0] = tensors["user_embeddings"][user]
    said_I = np.mean(said, axis=0).astype(np.float32)
    rows_N = np.flatnonzero(said_I)
    vector_VMD = np.mean(vectors, axis=0, dtype=np.float32)
    return Profile(vector_VMD, SparseScores(rows_N, said_I[rows_N]))


def _history(tensors: dict[str, NDArray[Any]], user: int) -> NDArray[np.int32]:
    start = tensors["seen_offsets"][user]
    rows: NDArray[np.int32] = tensors["seen_items"][
        start : start + tensors["history_lengths"][user]
    ]
    return rows


def _neighbourhood(num_items: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Six entries or none for each item, of both signs, in any order."""
    length_I = np.where(rng.random(num_items) < 0.9, 6, 0)
    rows = [rng.choice(num_items, size=length, replace=False) for length in length_I]
    return {
        "neighbourhood_offsets": np.cumsum([0, *length_I]),
        "neighbourhood_items": np.concatenate(rows).astype(np.int32),
        "neighbourhood_weights": rng.normal(0.5, 1, length_I.sum()).astype(np.float32),
    }


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(length == 0, 1, length)).astype(np.float32)


def _fold_in(foldin: NDArray[np.float32]) -> NDArray[np.float32]:
    total = np.linalg.norm(foldin, axis=-1, keepdims=True).sum(axis=0)
    return (foldin.sum(axis=0) / np.where(total == 0, 1, total)).astype(np.float32)


def _tensors(seed: int, num_items: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    shape = (num_items, VIEWS, MODALITIES, DIM)
    foldin = rng.normal(size=shape).astype(np.float32)
    seen = [
        np.sort(rng.choice(num_items, size=rng.integers(3, 12), replace=False)) for _ in range(29)
    ]
    seen.append(np.array([5]))  # the last user: seen something, but no usable history
    users = np.stack([_fold_in(foldin[rows[:-1]]) for rows in seen])
    users[:-1, :, 0] += rng.normal(scale=0.1, size=(USERS - 1, 1, DIM))  # users' free parts
    metadata = [
        f'{{"title": "Title {i}", "categories": ["{"even" if i % 2 == 0 else "odd"}"]}}'
        if i != 7
        else "{}"
        for i in range(num_items)
    ]
    arrays: dict[str, NDArray[Any]] = {
        "user_embeddings": users,
        "item_embeddings": RELIABILITY_M1 * _unit(rng.normal(size=shape).astype(np.float32)),
        "item_foldin": foldin,
        "item_routing": rng.normal(size=(num_items, EXPERTS + 1)).astype(np.float32),
        "item_bias": rng.normal(scale=0.1, size=num_items).astype(np.float32),
        "item_popularity": rng.integers(0, 20, size=num_items),
        "seen_offsets": np.cumsum([0, *map(len, seen)]),
        "seen_items": np.concatenate(seen).astype(np.int32),
        "history_lengths": np.array([*(len(rows) - 1 for rows in seen[:-1]), 0], dtype=np.int32),
    }
    return with_tables(
        arrays | _neighbourhood(num_items, rng),
        user_ids=(f"u{i:03d}" for i in range(USERS)),
        item_ids=(f"i{i:0{len(str(num_items)) + 1}d}" for i in range(num_items)),
        item_metadata=metadata,
    )


def _artifact(
    version: str, seed: int, num_items: int = ITEMS, deviation: float | None = DEVIATION
) -> Artifact:
    tensors = _tensors(seed, num_items)
    files = {"head.onnx": _head(), "explain.onnx": _explain()}
    user_rows, item_rows = [0, 1, 2], list(range(0, num_items, max(7, num_items // 12)))
    outputs = [
        _reference(tensors, profile, np.array(item_rows))
        for row in user_rows
        for profile in [
            _profile(tensors, _history(tensors, row), user=row, deviation=deviation),
        ]
    ]
    return build_artifact(
        tensors,
        files,
        model_version=version,
        created_at="2026-01-01T00:00:00+00:00",
        views=["interaction", "augmented"],
        modalities=NAMES,
        experts=[
            ExpertSpec(name=name, role=role, modality=modality, template=t, usual_weight=0.2)
            for (name, role, modality), t in zip(
                [
                    ("dominant_behaviour", "dominant", "behaviour"),
                    ("dominant_text", "dominant", "text"),
                    ("dominant_picture", "dominant", "picture"),
                    ("balanced", "balanced", None),
                    ("complementary_text", "complementary", "text"),
                ],
                TEMPLATE_KM.tolist(),
                strict=True,
            )
        ],
        gate_threshold=THRESHOLD,
        recency_power=0.0,
        item_item_deviation=deviation,
        chunk_bytes=1500,  # small, so that arrays span many chunks
        golden=Golden(
            user_rows=user_rows,
            item_rows=item_rows,
            scores=[score.tolist() for score, _, _ in outputs],
            contributions=[contribution.sum((2, 3)).tolist() for _, _, contribution in outputs],
        ),
        metrics={"test/recall@20": 0.1},
        training=untrained(seed),
    )


@pytest.fixture(scope="session")
def make_artifact() -> Callable[..., Artifact]:
    """A small artifact with real graphs, by version, seed, items and item-item deviation."""
    return _artifact


def with_report(artifact: Artifact) -> Artifact:
    """The same artifact with the report that an export would have given it."""
    manifest = artifact.manifest
    experts = [expert.name for expert in manifest.experts]
    data = report_file(ArtifactScorer.of(artifact), experts, manifest.modalities)
    specs = manifest.files | {REPORT: FileSpec.of(data)}
    return replace(
        artifact,
        manifest=manifest.model_copy(update={"files": specs}),
        files={**artifact.files, REPORT: data},
    )


@pytest.fixture(scope="session")
def reported() -> Callable[[Artifact], Artifact]:
    """Gives an artifact its report."""
    return with_report


@pytest.fixture(scope="session")
def artifact(make_artifact: Callable[..., Artifact]) -> Artifact:
    return make_artifact("v1", 1)


@pytest.fixture(scope="session")
def reference() -> Callable[..., tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    return _reference


@pytest.fixture(scope="session")
def profile_of() -> Callable[..., Profile]:
    """A user of the table by the definition of her profile, and that of a session with her."""

    def make(
        tensors: dict[str, NDArray[Any]],
        user: int,
        *session: Sequence[int],
        deviation: float | None = DEVIATION,
    ) -> Profile:
        return _profile(tensors, _history(tensors, user), *session, user=user, deviation=deviation)

    return make


@pytest.fixture(scope="session")
def profile_of_histories() -> Callable[..., Profile]:
    return _profile
