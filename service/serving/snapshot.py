"""One model version, complete, tested and immutable: what every request works with.

A version is tested with probe users: those of the golden pairs, whose scores must come out as they
were recorded at export, and some to measure recall with.

Letters: H history length, V views, M modalities, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import ArtifactError
from model.artifact.manifest import ArtifactManifest
from model.artifact.report import REPORT
from model.artifact.tables import IdTable
from model.runtime.artifact import check_golden
from model.runtime.profile import History, Profile, ProfileMaker
from model.runtime.scorer import OnnxScorer
from service.ops.derived import kept_in
from service.ops.settings import Retrieval
from service.retrieval.query import Retriever
from service.retrieval.select import Chosen, Searched, choose_retriever
from service.retrieval.shards import Shards
from service.serving.catalogue import Catalogue
from service.serving.likeness import Likeness
from service.serving.source import OpenedModel
from service.store.users import UserSource

SAMPLED_USERS = 16
"""Users to measure recall with: 320 places of top-20 lists, which take a few seconds with a million
items."""


@dataclass(frozen=True, slots=True, eq=False)
class ProbeUser:
    """What a profile is made of."""

    vector_VMD: NDArray[np.float32]
    history_H: History

    @property
    def is_blank(self) -> bool:
        """Whether zeros were written over the user, who was erased; no model has such a user."""
        return bool(len(self.history_H) and not self.vector_VMD.any() and not self.history_H.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeUsers:
    """The users that one model version is tested with before it is served."""

    golden: Sequence[ProbeUser]
    """Those of the golden pairs."""
    sampled: Sequence[ProbeUser]
    """Some from all over the table, for recall."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Flat arrays, kept for a restart without the store; `of` is the inverse."""
        arrays: dict[str, NDArray[Any]] = {}
        for group, users in (("golden", self.golden), ("sampled", self.sampled)):
            histories = [user.history_H for user in users]
            lengths = [len(history_H) for history_H in histories]
            arrays[f"{group}_vectors"] = np.array([user.vector_VMD for user in users])
            arrays[f"{group}_histories"] = np.concatenate([*histories, np.empty(0, dtype=np.int32)])
            arrays[f"{group}_ends"] = np.cumsum(lengths, dtype=np.intp)
        return arrays

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `arrays`; KeyError."""

        def users(group: str) -> list[ProbeUser]:
            histories = np.split(arrays[f"{group}_histories"], arrays[f"{group}_ends"])[:-1]
            vectors = arrays[f"{group}_vectors"]
            return [ProbeUser(*pair) for pair in zip(vectors, histories, strict=True)]

        return cls(golden=users("golden"), sampled=users("sampled"))


async def read_probe_users(opened: OpenedModel) -> ProbeUsers:
    """Read them as requests do; SourceUnavailable."""
    manifest = opened.manifest
    count = min(SAMPLED_USERS, manifest.num_users)
    sampled = np.linspace(0, manifest.num_users - 1, count).astype(int).tolist()

    async def read(rows: Sequence[int]) -> list[ProbeUser]:
        records = [await opened.users.user(row) for row in rows]
        return [ProbeUser(record.vector_VMD, record.history_H) for record in records]

    return ProbeUsers(golden=await read(manifest.golden.user_rows), sampled=await read(sampled))


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Snapshot:
    """A request captures one, so it never sees two versions."""

    manifest: ArtifactManifest
    created_at: datetime
    loaded_at: datetime
    user_ids: IdTable
    items: Catalogue
    profiles: ProfileMaker
    scorer: OnnxScorer
    reach: float
    """See `OnnxScorer.reach`."""
    likeness: Likeness
    chosen: Chosen
    users: UserSource
    report: bytes | None
    """JSON of `model.artifact.report`, if the model has one."""

    @property
    def version(self) -> str:
        """The model version."""
        return self.manifest.model_version

    @property
    def retriever(self) -> Retriever:
        """What finds the best items."""
        return self.chosen.retriever


@dataclass(frozen=True, slots=True)
class Search:
    """How the best items are found."""

    retrieval: Retrieval = "auto"
    """The setting."""
    shards: Shards | None = None
    """Those of the catalogue, if it has any."""


WHOLE = Search()
"""All of the catalogue, in the usual way."""


def build_snapshot(
    opened: OpenedModel,
    users: ProbeUsers,
    search: Search = WHOLE,
) -> Snapshot:
    """Assemble a snapshot and test it, which also warms the graphs up. Blocking.

    Args:
        opened: the model.
        users: whom it is tested with.
        search: how its best items are to be found.

    Raises:
        ArtifactError: it is not usable; `GoldenMismatch`: it computes something else.
    """
    tensors, keep = opened.tensors, kept_in(opened.folder)
    items = Catalogue.of(tensors, keep)
    scorer = OnnxScorer(opened.files, tensors)
    profiles = ProfileMaker.of(
        tensors,
        recency_power=opened.manifest.recency_power,
        item_item_deviation=opened.manifest.item_item_deviation,
        keep=keep,
    )
    of_golden = [
        None if user.is_blank else profiles.of_user(user.vector_VMD, user.history_H)
        for user in users.golden
    ]
    check_golden(opened.manifest.golden, scorer, of_golden)
    sampled = _profiles(profiles, users.sampled)
    chosen = _chosen(opened, items, scorer, sampled, search)
    return Snapshot(
        manifest=opened.manifest,
        created_at=_instant(opened.manifest.created_at),
        loaded_at=datetime.now(UTC),
        user_ids=IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"]),
        items=items,
        profiles=profiles,
        scorer=scorer,
        reach=scorer.reach(),
        likeness=Likeness(tensors["item_embeddings"]),
        chosen=chosen,
        users=opened.users,
        report=opened.files.get(REPORT),
    )


def _chosen(
    opened: OpenedModel,
    items: Catalogue,
    scorer: OnnxScorer,
    users: Sequence[Profile],
    search: Search,
) -> Chosen:
    """What finds the best items."""
    templates_KM = [expert.template for expert in opened.manifest.experts]
    shards = search.shards
    if shards is None:
        whole = Searched(scorer=scorer, tensors=opened.tensors, templates_KM=templates_KM)
        return choose_retriever(search.retrieval, whole, users, folder=opened.folder)
    own = shards.own(scorer, opened.tensors)
    chosen = choose_retriever(
        search.retrieval,
        Searched(
            scorer=own.scorer,
            tensors=own.tensors,
            templates_KM=templates_KM,
            share=1 / own.place.of,
        ),
        [own.profile(user) for user in users],
        folder=own.folder(opened.folder),
    )
    version = opened.manifest.model_version
    return shards.joined(version, own, chosen, items.popularity_bias())


def _profiles(profiles: ProfileMaker, users: Sequence[ProbeUser]) -> list[Profile]:
    return [profiles.of_user(user.vector_VMD, user.history_H) for user in users]


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArtifactError(f"created_at {text!r} is not an ISO 8601 time") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
