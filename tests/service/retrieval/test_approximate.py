import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.runtime.item_item import SparseScores
from model.runtime.native.kernels import kernels
from model.runtime.profile import Profile
from service.ops.settings import Retrieval
from service.retrieval import approximate
from service.retrieval import select as choice
from service.retrieval.approximate import ApproximateRetriever, Effort, FaissIndex
from service.retrieval.query import Eligible, Query
from service.retrieval.select import Chosen, Searched, choose_retriever

pytest.importorskip("faiss")

NUM_ITEMS = 9000
WHOLE = Effort.of_share(1)


@pytest.fixture(scope="module")
def index(large) -> FaissIndex:
    return FaissIndex.build(large.tensors["item_embeddings"], large.tensors["item_bias"])


@pytest.fixture(scope="module")
def users(profile_of, large) -> list[Profile]:
    return [profile_of(large.tensors, user) for user in range(30)]


@pytest.fixture(autouse=True)
def no_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "ROUTED_DIRECTLY", 100)


@pytest.fixture(scope="module")
def retriever_of(exact_of, scorer_of, large) -> Callable[[FaissIndex], ApproximateRetriever]:
    def make(index: FaissIndex) -> ApproximateRetriever:
        return ApproximateRetriever(
            exact_of(large),
            index,
            scorer_of(large),
            large.tensors,
            WHOLE,
        )

    return make


@pytest.fixture(scope="module")
def retriever(retriever_of, index) -> ApproximateRetriever:
    return retriever_of(index)


def test_it_finds_nearly_what_routing_every_item_finds(
    retriever, exact_of, large, users, nothing
) -> None:
    queries = [Query(user, Eligible(NUM_ITEMS, nothing), 20) for user in users[:29]]
    found, truth = retriever.best(queries), exact_of(large).best(queries)
    shares = [np.isin(a.rows, b.rows).mean() for a, b in zip(truth, found, strict=True)]
    assert (
        np.mean(shares) > 0.5
    )  # routing is noise here: tests/deploy/benchmarks/serving has a likelier model
    for ranked, right in zip(found, truth, strict=True):
        assert (np.diff(ranked.scores) <= 0).all()
        both = np.intersect1d(ranked.rows, right.rows)
        mine = ranked.scores[np.isin(ranked.rows, both)]
        assert mine == pytest.approx(right.scores[np.isin(right.rows, both)], abs=1e-5)


@pytest.fixture(scope="module")
def choose(scorer_of, large) -> Callable[..., Chosen]:
    def make(wanted: Retrieval, users: list[Profile], folder: Path | None = None) -> Chosen:
        templates = [expert.template for expert in large.manifest.experts]
        searched = Searched(scorer=scorer_of(large), tensors=large.tensors, templates_KM=templates)
        return choose_retriever(wanted, searched, users, folder=folder)

    return make


def lifted(profile: Profile, seed: int) -> Profile:
    """The same user with item-item scores that nothing in their vector tells of."""
    rng = np.random.default_rng(seed)
    rows_N = np.sort(rng.choice(NUM_ITEMS, 900, replace=False))
    values_N = rng.normal(0, 3, 900).astype(np.float32)
    return Profile(profile.vector_VMD, SparseScores(rows_N, values_N))


def test_what_only_the_item_item_model_lifts_is_found(
    retriever, exact_of, large, users, nothing
) -> None:
    loud, everything = list(map(lifted, users[:12], range(12))), Eligible(NUM_ITEMS, nothing)
    queries = [Query(profile, everything, 20) for profile in loud]
    found, truth = retriever.best(queries), exact_of(large).best(queries)
    for profile, mine, right in zip(loud, found, truth, strict=True):
        assert np.isin(right.rows, profile.item_item.rows_N).mean() > 0.8
        assert np.isin(right.rows, mine.rows).mean() > 0.9


@pytest.mark.parametrize("parts", [2, 3, 8, 64])
def test_parts_look_at_their_share_and_at_enough(parts: int) -> None:
    effort = Effort.of_share(1 / parts)
    assert WHOLE.probed / parts < effort.probed < WHOLE.probed
    for (last_rank, candidates), (same_rank, of_all) in zip(
        effort.stages, WHOLE.stages, strict=True
    ):
        assert last_rank == same_rank
        assert of_all / parts < candidates < of_all
        assert candidates >= 2 * last_rank


def test_halves_find_together_what_the_whole_finds(
    index, exact_of, scorer_of, large, users, nothing
) -> None:
    everything = [Query(user, Eligible(NUM_ITEMS, nothing), 20) for user in users[:29]]
    truth = exact_of(large).best(everything)
    shares = {}
    for share in (1.0, 0.5):
        retriever = ApproximateRetriever(
            exact_of(large), index, scorer_of(large), large.tensors, Effort.of_share(share)
        )
        rows = np.arange(NUM_ITEMS)
        parts = [rows] if share == 1 else [rows[::2], rows[1::2]]
        found = [
            retriever.best(
                [Query(user, Eligible(NUM_ITEMS, nothing, [part]), 20) for user in users[:29]]
            )
            for part in parts
        ]
        shares[share] = np.mean(
            [
                np.isin(right.rows, np.concatenate([each.rows for each in of_user])).mean()
                for right, *of_user in zip(truth, *found, strict=True)
            ]
        )
    assert shares[0.5] > shares[1.0] - 0.02


@pytest.mark.parametrize("loud", [False, True])
def test_pages_join_without_gaps_or_repetition(retriever, users, nothing, loud) -> None:
    user, everything = users[4], Eligible(NUM_ITEMS, nothing)
    user = lifted(user, 0) if loud else user
    whole = retriever.best([Query(user, everything, 700)])[0].rows
    assert len(set(whole.tolist())) == 700
    for count in (1, 20, 50, 51, 300, 500, 501):
        assert retriever.best([Query(user, everything, count)])[0].rows.tolist() == (
            whole[:count].tolist()
        )


@pytest.mark.parametrize("excluded", [10, 400, 8000])
def test_what_is_excluded_never_comes_and_the_page_is_full(retriever, users, excluded) -> None:
    user = users[4]
    best = retriever.best([Query(user, Eligible(NUM_ITEMS, np.array([], dtype=int)), 8000)])[0]
    eligible = Eligible(NUM_ITEMS, best.rows[:excluded])
    found = retriever.best([Query(user, eligible, 40)])[0]
    assert len(found.rows) == 40
    assert eligible.among(found.rows).tolist() == found.rows.tolist()


def test_where_few_are_eligible_all_of_them_come(retriever, users, nothing) -> None:
    user = users[4]
    only = np.arange(0, NUM_ITEMS, 50)  # 180: more than are routed directly, rare in any cluster
    found = retriever.best([Query(user, Eligible(NUM_ITEMS, nothing, [only]), 1000)])[0]
    assert sorted(found.rows.tolist()) == only.tolist()


def test_a_saved_index_finds_the_same(index, retriever_of, retriever, users, tmp_path, nothing):
    index.save(tmp_path)
    again = retriever_of(FaissIndex.load(tmp_path))
    query = Query(users[0], Eligible(NUM_ITEMS, nothing), 50)
    assert again.best([query])[0].rows.tolist() == retriever.best([query])[0].rows.tolist()


def test_a_mapped_index_starts_no_threads(index, tmp_path) -> None:
    faiss = pytest.importorskip("faiss")
    index.save(tmp_path)
    again = FaissIndex.load(tmp_path)
    assert faiss.downcast_InvertedLists(again._index.invlists).prefetch_nthread == 0


def test_the_recall_of_an_index_is_measured_once(choose, users, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(choice, "LEAST_RECALL", 0.5)
    first = choose("approximate", users[:3], tmp_path)
    assert first.recall == choose("approximate", users[:3]).recall > 0.5
    file = tmp_path / "index" / "recall.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recall": 0.75}))
    assert choose("approximate", users[:3], tmp_path).recall == 0.75
    monkeypatch.setattr(approximate, "PROBED", 7)  # another release looks elsewhere
    anew = choose("approximate", users[:3]).recall
    assert choose("approximate", users[:3], tmp_path).recall == anew != 0.75
    file.write_text("[1, ")
    assert choose("approximate", users[:3], tmp_path).recall == anew


def test_answers_are_the_same_before_and_after_it_is_finished(
    choose, exact_of, large, users, nothing, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(choice, "LEAST_RECALL", 0.5)
    chosen = choose("approximate", users[:3], tmp_path)
    points_I = np.zeros(NUM_ITEMS, dtype=np.float32)
    points_I[::3] = 0.01  # so many are raised that the search is exact
    queries = [Query(users[4], Eligible(NUM_ITEMS, nothing), 300, points_I)]
    (right,) = exact_of(large).best(queries)
    before = chosen.retriever.best(queries)[0]
    chosen.finish()
    after = chosen.retriever.best(queries)[0]
    for found in (before, after):
        assert found.rows.tolist() == right.rows.tolist()


def test_a_restart_maps_the_rounded_copy(choose, exact_of, large, users, nothing, tmp_path) -> None:
    compiled = kernels()
    if compiled is None or not compiled.can_bound():
        pytest.skip("this processor has no AVX2")
    query = Query(users[4], Eligible(NUM_ITEMS, nothing), 300)
    (right,) = exact_of(large).best([query])
    file = tmp_path / "rounded-1" / "blocks.npy"
    made = []
    for _ in range(2):
        (found,) = choose("exact", [], tmp_path).retriever.best([query])
        assert found.rows.tolist() == right.rows.tolist()
        made.append(file.stat().st_mtime_ns)
    assert made[0] == made[1]


def test_a_damaged_index_is_made_anew(choose, users, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(choice, "LEAST_RECALL", 0.5)
    first = choose("approximate", users[:3], tmp_path)
    file = tmp_path / "index" / "index.faiss"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(OSError, match="checksum differs"):
        FaissIndex.load(tmp_path / "index")
    again = choose("approximate", users[:3], tmp_path)
    assert again.recall == first.recall
    FaissIndex.load(tmp_path / "index")


@pytest.mark.parametrize(
    ("wanted", "most_exact", "installed", "expected"),
    [
        ("auto", 10_000, True, "exact"),
        ("auto", 8_000, True, "approximate"),
        ("auto", 8_000, False, "exact"),
        ("exact", 8_000, True, "exact"),
        ("approximate", 10_000, True, "approximate"),
    ],
)
def test_the_way_follows_from_size_and_wish(
    choose, users, monkeypatch, wanted, most_exact, installed, expected
) -> None:
    monkeypatch.setattr(choice, "EXACT_ITEMS", most_exact)
    monkeypatch.setattr(choice, "LEAST_RECALL", 0.5)
    monkeypatch.setattr(choice, "is_installed", lambda: installed)
    sampled = [users[0], users[3], users[29]]  # the last one has no history
    chosen = choose(wanted, sampled)
    assert chosen.retriever.name == expected
    assert chosen.sampled_users == 2
    assert 0.5 <= chosen.recall <= 1
    assert expected != "exact" or chosen.recall == 1


def test_an_index_that_misses_too_much_is_not_used(choose, users, monkeypatch, caplog) -> None:
    monkeypatch.setattr(choice, "LEAST_RECALL", 1.01)
    chosen = choose("approximate", users[:3])
    assert chosen.retriever.name == "exact"
    assert "searching exactly" in caplog.text


def test_the_index_is_kept_and_found_again(choose, users, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(choice, "LEAST_RECALL", 0.5)
    first = choose("approximate", users[:3], tmp_path)
    monkeypatch.setattr(FaissIndex, "build", None)
    second = choose("approximate", users[:3], tmp_path)
    assert second.recall == first.recall
