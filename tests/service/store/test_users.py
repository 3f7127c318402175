import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.manifest import ArtifactManifest
from model.artifact.stored import RowLayout
from model.registry.keys import KeySpace
from service.schemas.errors import SourceUnavailable
from service.store.store import LiveValues, Revisions, RowSpan
from service.store.users import Changing, RedisUsers


@given(st.data())
def test_a_span_is_cut_at_chunk_borders(data) -> None:
    num_rows = data.draw(st.integers(1, 60))
    row_bytes = data.draw(st.integers(1, 9))
    layout = RowLayout(num_rows, row_bytes, chunk_bytes=data.draw(st.integers(1, 40)))
    start = data.draw(st.integers(0, num_rows))
    stop = data.draw(st.integers(start, num_rows))
    whole = np.random.default_rng(0).bytes(num_rows * row_bytes)
    chunks = [whole[first:last] for first, last in layout.spans()]
    span = RowSpan("any", layout, start, stop)
    read = b"".join(chunks[chunk][first : last + 1] for chunk, first, last in span.pieces())
    assert read == whole[start * row_bytes : stop * row_bytes]
    assert len(read) == span.num_bytes


class CountingStore:
    """Answers as the store does, from an artifact in memory, and counts the round trips."""

    address = "memory"
    keys = KeySpace()

    def __init__(self, tensors) -> None:
        self.tensors = tensors
        self.reads = 0

    async def read(self, version, spans, user_id) -> tuple[list[bytes], LiveValues]:
        self.reads += 1
        parts = [self.tensors[span.blob][span.start : span.stop].tobytes() for span in spans]
        unchanged = Revisions(availability=0, erasures=0, rules=None)
        values = LiveValues(revisions=unchanged, events=[])
        return parts, values


def users_of(store: CountingStore, manifest: ArtifactManifest, cache_size: int) -> RedisUsers:
    changing = Changing(store)
    return RedisUsers(store, manifest, store.tensors, changing=changing, cache_size=cache_size)


def read(users: RedisUsers, *rows: int) -> None:
    for row in rows:
        asyncio.run(users.user(row))


def test_the_least_recently_asked_for_user_leaves_the_cache(artifact) -> None:
    store = CountingStore(artifact.tensors)
    users = users_of(store, artifact.manifest, cache_size=2)
    read(users, 1, 2, 1, 1, 3, 1)
    assert store.reads == 3
    read(users, 2)
    assert store.reads == 4


def test_a_cache_can_be_switched_off(artifact) -> None:
    store = CountingStore(artifact.tensors)
    read(users_of(store, artifact.manifest, cache_size=0), 1, 1)
    assert store.reads == 2


@pytest.mark.parametrize(("blob", "value"), [("user_embeddings", np.nan), ("seen_items", 80)])
def test_a_damaged_row_is_no_user(artifact, blob: str, value: float) -> None:
    tensors = {**artifact.tensors, blob: np.full_like(artifact.tensors[blob], value)}
    users = users_of(CountingStore(tensors), artifact.manifest, cache_size=2)
    with pytest.raises(SourceUnavailable, match="the row of user 4 is damaged"):
        read(users, 4)
