"""One model version, complete, proven and immutable: what every request works with.

Knows how to build itself from an opened model and to refuse one that does not reproduce what was
recorded at export. Knows nothing about where models come from or about HTTP.

Letters: U golden users, C golden items, V views, M modalities, D dimension, K experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact import ArtifactError
from model.contract.manifest import ArtifactManifest
from model.contract.strings import IdTable
from service.catalogue import Catalogue
from service.retrieval.choice import Chosen, Items, choose_retriever
from service.retrieval.retriever import Retriever
from service.scorer import OnnxScorer
from service.settings import Retrieval
from service.source import OpenedModel
from service.users import UserSource

GOLDEN_TOLERANCE = 1e-4
"""Float32 sums on another CPU differ by some 1e-6; those of a wrong file by far more."""
SAMPLED_USERS = 16
"""Users that recall is measured with: 320 places of top-20 lists, a few seconds of start-up for a
million items."""


class GoldenMismatch(ArtifactError):
    """The model loads, but does not compute what it computed at export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A request takes one reference and never sees two versions."""

    manifest: ArtifactManifest
    created_at: datetime
    loaded_at: datetime
    user_ids: IdTable
    items: Catalogue
    scorer: OnnxScorer
    chosen: Chosen
    users: UserSource

    @property
    def version(self) -> str:
        """The model version."""
        return self.manifest.model_version

    @property
    def retriever(self) -> Retriever:
        """What finds the best items."""
        return self.chosen.retriever


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialUsers:
    """Vectors of users that a model is tried with before it is served."""

    golden_UVMD: NDArray[np.float32]
    """Those of the golden pairs."""
    sampled_UVMD: NDArray[np.float32]
    """Some from all over the table, for recall."""

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What `of` makes them again from."""
        return {"golden": self.golden_UVMD, "sampled": self.sampled_UVMD}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Self:
        """The inverse of `arrays`; KeyError."""
        return cls(golden_UVMD=arrays["golden"], sampled_UVMD=arrays["sampled"])


async def read_trial_users(opened: OpenedModel) -> TrialUsers:
    """Read them by the way that requests do; SourceUnavailable."""
    manifest = opened.manifest
    count = min(SAMPLED_USERS, manifest.num_users)
    sampled = np.linspace(0, manifest.num_users - 1, count).astype(int).tolist()
    return TrialUsers(
        golden_UVMD=await _vectors(opened, manifest.golden.user_rows),
        sampled_UVMD=await _vectors(opened, sampled),
    )


async def _vectors(opened: OpenedModel, rows: Sequence[int]) -> NDArray[np.float32]:
    return np.stack([(await opened.users.user(row)).vector_VMD for row in rows])


def build_snapshot(
    opened: OpenedModel, users: TrialUsers, retrieval: Retrieval = "auto"
) -> Snapshot:
    """Assemble, run the golden pairs (which also warms the graphs up), and vouch for the result.

    Blocking. Raises ArtifactError, GoldenMismatch among them.
    """
    tensors = opened.tensors
    items = Catalogue.of(tensors)
    scorer = OnnxScorer(
        opened.files,
        embeddings_IVMD=items.embeddings_IVMD,
        routing_IR=tensors["item_routing"],
        bias_I=items.bias_I,
    )
    _check_golden(opened.manifest, scorer, items.bias_I, users.golden_UVMD)
    chosen = choose_retriever(
        retrieval,
        scorer,
        Items(
            vectors_IVMD=items.embeddings_IVMD,
            bias_I=items.bias_I,
            popular_order_I=items.popular_order_I,
            templates_KM=[expert.template for expert in opened.manifest.experts],
            index_folder=opened.folder,
        ),
        users.sampled_UVMD,
    )
    return Snapshot(
        manifest=opened.manifest,
        created_at=_instant(opened.manifest.created_at),
        loaded_at=datetime.now(UTC),
        user_ids=IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"]),
        items=items,
        scorer=scorer,
        chosen=chosen,
        users=opened.users,
    )


def _check_golden(
    manifest: ArtifactManifest,
    scorer: OnnxScorer,
    bias_I: NDArray[np.float32],
    users_UVMD: NDArray[np.float32],
) -> None:
    golden = manifest.golden
    rows_C = np.array(golden.item_rows, dtype=np.intp)
    for place, user_VMD in enumerate(users_UVMD):
        scores_C = scorer.score(user_VMD, rows_C)
        contributions_CK = scorer.explain(user_VMD, rows_C).contribution_CKVM.sum(axis=(2, 3))
        for what, computed, recorded in (
            ("score", scores_C, golden.scores[place]),
            ("contribution", contributions_CK, golden.contributions[place]),
            ("sum of bias and contributions", bias_I[rows_C] + contributions_CK.sum(1), scores_C),
        ):
            if not np.allclose(computed, recorded, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE):
                raise GoldenMismatch(
                    f"golden user {place}: the {what} differs from what was recorded at export; "
                    "export it again"
                )


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArtifactError(f"created_at {text!r} is not an ISO 8601 time") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
