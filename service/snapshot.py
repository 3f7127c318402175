"""One model version, complete, proven and immutable: what every request works with.

Knows how to build itself from an opened model and to refuse one that does not reproduce what was
recorded at export. Knows nothing about where models come from or about HTTP.

Letters: I items, C golden items, K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact import ArtifactError
from model.contract.manifest import ArtifactManifest
from model.contract.strings import IdTable
from service.catalogue import Catalogue
from service.profile import Profile, ProfileMaker
from service.retrieval.choice import Chosen, Items, choose_retriever
from service.retrieval.retriever import Retriever
from service.scorer import OnnxScorer
from service.settings import Retrieval
from service.source import OpenedModel
from service.trial_users import TrialUser, TrialUsers
from service.users import UserSource

GOLDEN_TOLERANCE = 1e-4
"""Float32 sums on another CPU differ by some 1e-6; those of a wrong file by far more."""


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
    profiles: ProfileMaker
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
    profiles = ProfileMaker(
        foldin_IVMD=items.foldin_IVMD,
        neighbourhoods=items.neighbourhoods,
        recency_power=opened.manifest.recency_power,
    )
    _check_golden(opened.manifest, scorer, items.bias_I, _profiles(profiles, users.golden))
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
        _profiles(profiles, users.sampled),
    )
    return Snapshot(
        manifest=opened.manifest,
        created_at=_instant(opened.manifest.created_at),
        loaded_at=datetime.now(UTC),
        user_ids=IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"]),
        items=items,
        profiles=profiles,
        scorer=scorer,
        chosen=chosen,
        users=opened.users,
    )


def _profiles(profiles: ProfileMaker, users: Sequence[TrialUser]) -> list[Profile]:
    return [profiles.of_user(user.vector_VMD, user.history_H) for user in users]


def _check_golden(
    manifest: ArtifactManifest,
    scorer: OnnxScorer,
    bias_I: NDArray[np.float32],
    users: Sequence[Profile],
) -> None:
    golden = manifest.golden
    rows_C = np.array(golden.item_rows, dtype=np.intp)
    for place, profile in enumerate(users):
        scores_C = scorer.score(profile, rows_C)
        contributions_CK = scorer.explain(profile, rows_C).contribution_CKVM.sum(axis=(2, 3))
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
