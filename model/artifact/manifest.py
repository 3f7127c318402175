"""The manifest: what one model version is, what it is made of, and how to check it.

Letters: U users, I items, V views, M modalities, D dimension, K experts, E epochs, T terms.
"""

import hashlib
from collections.abc import Set
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from model.registry.keys import check_name

SCHEMA_VERSION: Literal[4] = 4
"""Raised whenever a reader of the number before could misread what it is given. That number is read
too (ADR 50), and fields that a reader does not know are ignored."""

CHUNK_BYTES = 262_144 - 256
"""Most bytes in a chunk, just under 256 KiB: the server's allocator rounds sizes up to classes,
and a value of exactly 2^k bytes plus its header falls into the next, 25 % larger (measured)."""

ITEM_ENCODER = "item_encoder.onnx"
"""Encodes items that come after training. Models without content have none, nor its tensors."""
ITEM_ENCODER_TENSORS = frozenset({"item_content", "item_lengths"})
HALVED = frozenset({"item_embeddings", "item_foldin"})
"""What large catalogues have in 16 bits."""
TEXT_ENCODER_TENSORS = frozenset({"text_terms_blob", "text_terms_offsets", "text_idf", "text_axes"})
"""What text features were made with. Models with other text features or none have none of them."""

Role = Literal["dominant", "balanced", "complementary"]
HeldOut = Literal["unseen", "encoded", "trained"]
"""What a model knows of the held-out parts: nothing, though users are folded in from all of their
history; all but by training; or they have trained it too."""


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """`array` as C-contiguous and little-endian, the only byte order that travels."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def sha256(data: bytes | NDArray[Any]) -> str:
    """Hex SHA-256 of some bytes, or of an array's bytes in C order."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(np.ascontiguousarray(data).reshape(-1).view(np.uint8).data).hexdigest()


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, hide_input_in_errors=True, extra="ignore", allow_inf_nan=False
    )


class ExpertSpec(_Frozen):
    """One expert of the fusion head."""

    name: str
    role: Role
    modality: str | None
    """The modality that it favours (dominant) or holds back (complementary); None for balanced."""
    template: list[float]
    """Weight on each modality [M], sums to 1."""
    usual_weight: float
    """Mean routing weight over sampled user-item pairs, for comparison with a single pair."""


class TensorSpec(_Frozen):
    """One array of the artifact."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str
    """Checksum of the little-endian C-order bytes, the same on disk and in Redis."""

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """The entry of an array."""
        return cls(dtype=array.dtype.str, shape=array.shape, sha256=sha256(array))


class FileSpec(_Frozen):
    """One opaque file of the artifact (an ONNX graph)."""

    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The entry of a file with this content."""
        return cls(num_bytes=len(data), sha256=sha256(data))


class Golden(_Frozen):
    """Inputs and outputs recorded at export; a loader must reproduce them before it serves."""

    user_rows: list[int]
    item_rows: list[int]
    scores: list[list[float]]
    """[users, items]"""
    contributions: list[list[list[float]]]
    """[users, items, K]; with the item's bias they add up to the score."""


class EpochRecord(_Frozen):
    """One line of the training history."""

    epoch: int
    stage: Literal["encoders", "coverage", "specialisation"]
    loss: float
    loss_terms: dict[str, float]
    """Its weighted parts by name, which add up to it."""
    valid_ndcg20: float
    coverage_entropy: float
    """Entropy of the mean routing distribution over log K: is every expert used?"""
    pair_entropy: float
    """Mean entropy of single pairs over log K: is each pair sure?"""
    expert_shares: list[float]
    seconds: float


class TrainingRecord(_Frozen):
    """Where the model came from."""

    data_sha256: str
    split: str
    seed: int
    best_epoch: int
    trigger_epoch: int | None
    """The epoch after which specialisation began, or None if it never did."""
    config: dict[str, dict[str, object]]
    """Settings of the `data` and of the `training`, enough to repeat the run."""
    history: list[EpochRecord]
    """Up to the model that was measured."""
    early: bool = False
    """The best so far of a training that went on."""
    held_out: HeldOut = "unseen"
    """Unless `unseen`, no metric on these data tells how good the model is on new ones."""


class ArtifactManifest(_Frozen):
    """Everything a reader must know before it touches a byte of the model."""

    schema_version: Literal[3, 4] = SCHEMA_VERSION
    model_version: str
    created_at: str
    """UTC, ISO 8601."""
    num_users: int = Field(ge=1)
    num_items: int = Field(ge=1)
    views: list[str]
    modalities: list[str]
    embedding_dim: int = Field(ge=1)
    experts: list[ExpertSpec]
    gate_threshold: float = Field(ge=0, lt=1)
    """Share of the leading expert's routing probability below which an expert has no weight."""
    recency_power: float = Field(ge=0)
    """Of `recency_weights`: how a history's items are weighted when they are folded in."""
    item_item_deviation: float | None = Field(default=None, ge=0)
    """Standard deviation over all items that the item-item scores of a history are brought to; None
    in version 3, which takes them as they are."""
    newcomer_popularity: float = Field(default=0, ge=0)
    """Of a user who is not in the model and of whom n items are known, popularity says 1 +
    `newcomer_popularity` / n times as much."""
    events_until: AwareDatetime | None = None
    """The model has learnt from feedback that was received until then; None if nobody knows."""
    items_until: AwareDatetime | None = None
    """What was said of items until then is in their metadata; None: until the model was made."""
    erasures: int = Field(default=0, ge=0)
    """The users of erasures up to this number (`model.registry.erasures`) are not in it, unless
    they came back."""
    chunk_bytes: int = CHUNK_BYTES
    tensors: dict[str, TensorSpec]
    files: dict[str, FileSpec]
    golden: Golden
    metrics: dict[str, float]
    """Flat names such as `test/recall@20`. Measured before the held-out parts became known to the
    model, see `TrainingRecord.held_out`."""
    training: TrainingRecord

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        check_name(self.model_version, "model version")
        for name, expected in expected_tensors(self).items():
            spec = self.tensors.get(name)
            if spec is None and name in self._spared():
                continue
            if spec is None:
                raise ValueError(f"tensor {name!r} is missing")
            dtype, shape = expected
            fits = len(spec.shape) == len(shape) and all(
                want in (None, have) for want, have in zip(shape, spec.shape, strict=True)
            )
            halved = name in HALVED and spec.dtype == "<f2"
            if (np.dtype(spec.dtype) != np.dtype(dtype) and not halved) or not fits:
                raise ValueError(
                    f"tensor {name!r} is {spec.dtype}{list(spec.shape)}, expected {dtype}{shape}"
                )
        for file in ("head.onnx", "explain.onnx"):
            if file not in self.files:
                raise ValueError(f"file {file!r} is missing")
        if any(len(expert.template) != len(self.modalities) for expert in self.experts):
            raise ValueError("an expert's template does not have one weight per modality")
        return self

    @model_validator(mode="after")
    def _texts_agree(self) -> Self:
        if not TEXT_ENCODER_TENSORS.isdisjoint(self.tensors):
            names = ("text_terms_offsets", "text_idf", "text_axes")
            offsets, idf, axes = (self.tensors[name].shape[0] for name in names)
            if not offsets - 1 == idf == axes:
                raise ValueError(f"{offsets - 1} terms have {idf} frequencies and {axes} axes")
        return self

    def _spared(self) -> Set[str]:
        """Tensors that this artifact need not have."""
        encoder = ITEM_ENCODER_TENSORS if ITEM_ENCODER not in self.files else frozenset()
        without_texts = TEXT_ENCODER_TENSORS.isdisjoint(self.tensors)
        return encoder | TEXT_ENCODER_TENSORS if without_texts else encoder


def expected_tensors(manifest: ArtifactManifest) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """Name -> (dtype, shape) of every tensor of an artifact; None stands for any length.

    Those of `HALVED` may be in 16 bits (`<f2`).

    item_embeddings  [I, V, M, D] rows as long as their modality is reliable, or zero
    item_foldin      [I, V, M, D] a user's vector is the sum of these rows over their history, each
                     times its recency weight, over the sum of their lengths; so is a session's
    user_embeddings  [U, V, M, D] rows of length 0 to 1: how coherent the history is; to behaviour,
                     the user's free part is added
    item_routing     [I, K + 1] the item's share of the router's K logits and of the view gate's
    item_bias        [I] the additive term of popularity or of newness
    item_popularity  [I] interactions in training
    item_content     [I, all G] unit rows of every content modality's features side by side, as its
                     encoder takes them: by them an item's content neighbours are found; only beside
                     `item_encoder.onnx`, as the next
    item_lengths     [I, M] what brings `item_embeddings` of the interaction view to the length of
                     what was propagated
    text_terms_*     `IdTable` of the terms that text features are made of, if training made them of
                     the items' texts
    text_idf         [T] the inverse document frequency of each term
    text_axes        [T, any] what brings the weights of an item's terms, at unit length, to its
                     text features
    neighbourhood_*  the item-item model, CSR of item rows per item: what an item of a history adds
                     to each other one. Of a pair, the mean of these weights over the history, by
                     recency weight, brought to `item_item_deviation`, is added to the cosine of
                     behaviour in the interaction view, the first of views and modalities, after
                     routing
    seen_*           CSR of item rows per user (every known interaction, whatever its rating),
                     the positives that make the user's vector first, oldest to newest
    history_lengths  [U] how many of a user's seen items those positives are
    *_ids_*          `IdTable` of external ids; row order of every other tensor
    item_metadata_*  `StringTable` of one JSON object per item (title, picture_url, categories, ...)
    """
    users, items = manifest.num_users, manifest.num_items
    vectors = (len(manifest.views), len(manifest.modalities), manifest.embedding_dim)
    return {
        "user_embeddings": ("<f4", (users, *vectors)),
        "item_embeddings": ("<f4", (items, *vectors)),
        "item_foldin": ("<f4", (items, *vectors)),
        "item_routing": ("<f4", (items, len(manifest.experts) + 1)),
        "item_bias": ("<f4", (items,)),
        "item_popularity": ("<i8", (items,)),
        "item_content": ("<f2", (items, None)),
        "item_lengths": ("<f4", (items, len(manifest.modalities))),
        "text_terms_blob": ("|u1", (None,)),
        "text_terms_offsets": ("<i8", (None,)),
        "text_idf": ("<f4", (None,)),
        "text_axes": ("<f4", (None, None)),
        "neighbourhood_offsets": ("<i8", (items + 1,)),
        "neighbourhood_items": ("<i4", (None,)),
        "neighbourhood_weights": ("<f4", (None,)),
        "seen_offsets": ("<i8", (users + 1,)),
        "seen_items": ("<i4", (None,)),
        "history_lengths": ("<i4", (users,)),
        "user_ids_blob": ("|u1", (None,)),
        "user_ids_offsets": ("<i8", (users + 1,)),
        "item_ids_blob": ("|u1", (None,)),
        "item_ids_offsets": ("<i8", (items + 1,)),
        "item_metadata_blob": ("|u1", (None,)),
        "item_metadata_offsets": ("<i8", (items + 1,)),
    }
