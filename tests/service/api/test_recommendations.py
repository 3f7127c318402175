import numpy as np
import pytest

HISTORYLESS = "u029"


def get(client, user_id: str, **params):
    answer = client.get(f"/v1/users/{user_id}/recommendations", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client, **body):
    answer = client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture
def seen(artifact):
    """The ids that a user has seen."""

    def of(user_id: str) -> set[str]:
        row = int(user_id[1:])
        offsets, items = artifact.tensors["seen_offsets"], artifact.tensors["seen_items"]
        return {f"i{item:03d}" for item in items[offsets[row] : offsets[row + 1]]}

    return of


@pytest.fixture
def scores(artifact, reference):
    """Every item's score for a profile, by the numpy reference."""

    def of(profile) -> dict[str, float]:
        expected, _, _ = reference(artifact.tensors, profile, np.arange(80))
        return {f"i{row:03d}": score for row, score in enumerate(expected.tolist())}

    return of


def assert_ranked_by(answer, expected: dict[str, float], leave_out: set[str]) -> None:
    best = sorted(expected.keys() - leave_out, key=lambda item: -expected[item])
    assert ids(answer) == best[: len(answer["items"])]
    for item in answer["items"]:
        assert item["score"] == pytest.approx(expected[item["item_id"]], abs=1e-5)


def test_scores_add_up_for_every_user_and_item(disk_client) -> None:
    for row in range(29):
        answer = get(disk_client, f"u{row:03d}", k=50, exclude_seen=False)
        assert len(answer["items"]) == 50
        for item in answer["items"]:
            contributions = [expert["contribution"] for expert in item["experts"]]
            weights = [expert["weight"] for expert in item["experts"]]
            assert item["bias"] + sum(contributions) == pytest.approx(item["score"], abs=1e-5)
            assert sum(weights) == pytest.approx(1, abs=1e-5)
            assert min(weights) >= 0.499999 * max(weights)
            assert contributions == sorted(contributions, reverse=True)


def test_the_best_unseen_items_come_back(disk_client, artifact, scores, seen, profile_of) -> None:
    answer = get(disk_client, "u004")
    assert_ranked_by(answer, scores(profile_of(artifact.tensors, 4)), seen("u004"))
    assert len(answer["items"]) == 10
    assert {item["source"] for item in answer["items"]} == {"model"}
    assert answer["fallback"] is None
    assert answer["warnings"] == answer["missing_ids"] == []


def test_seen_items_stay_in_when_asked(disk_client, artifact, scores, profile_of) -> None:
    answer = get(disk_client, "u004", exclude_seen=False)
    assert_ranked_by(answer, scores(profile_of(artifact.tensors, 4)), set())


def test_pages_are_stable_disjoint_and_complete(disk_client, seen) -> None:
    whole = ids(get(disk_client, "u002", k=50)) + ids(get(disk_client, "u002", k=50, offset=50))
    assert len(whole) == len(set(whole)) == 80 - len(seen("u002"))
    paged = [get(disk_client, "u002", k=7, offset=offset) for offset in range(0, 80, 7)]
    assert [item for page in paged for item in ids(page)] == whole
    ranks = [item["rank"] for page in paged for item in page["items"]]
    assert ranks == list(range(1, len(whole) + 1))
    assert ids(get(disk_client, "u002", offset=10**30)) == []


def test_titles_come_along_when_known(disk_client) -> None:
    items = get(disk_client, "u002", k=50, exclude_seen=False)["items"]
    titles = {item["item_id"]: item["title"] for item in items}
    assert titles.pop("i007", None) is None
    assert titles == {item_id: f"Title {int(item_id[1:])}" for item_id in titles}


@pytest.mark.parametrize("user_id", ["nobody", "ünï cödé", "u000 ", "'; drop table", HISTORYLESS])
def test_a_user_without_a_vector_gets_popular_items(disk_client, artifact, user_id: str) -> None:
    answer = get(disk_client, user_id, k=50)
    assert answer["user_id"] == user_id
    assert answer["fallback"] == "popular"
    assert user_id in answer["warnings"][0] or repr(user_id) in answer["warnings"][0]
    popularity = artifact.tensors["item_popularity"]
    counts = [popularity[int(item_id[1:])] for item_id in ids(answer)]
    assert counts == sorted(counts, reverse=True)
    for item, count in zip(answer["items"], counts, strict=True):
        assert (item["experts"], item["source"]) == (None, "popular")
        assert item["score"] == item["bias"] == count
        assert item["reasons"][0] == "Popular right now"
        assert item["because"] == []


def test_seen_items_are_left_out_of_popular_ones_too(disk_client, seen) -> None:
    answer = get(disk_client, HISTORYLESS, k=50, exclude_seen=True)
    more = get(disk_client, HISTORYLESS, k=50, offset=50)
    assert not seen(HISTORYLESS) & {*ids(answer), *ids(more)}
    assert len(ids(answer) + ids(more)) == 79


@pytest.mark.parametrize("user", [{}, {"user_id": "nobody"}, {"user_id": HISTORYLESS}])
def test_a_session_is_folded_in(
    disk_client, artifact, scores, seen, user, profile_of_histories
) -> None:
    answer = post(disk_client, session_items=["i010", "i020"], k=20, **user)
    profile = profile_of_histories(artifact.tensors, [10, 20])
    known = seen(user["user_id"]) if user.get("user_id") == HISTORYLESS else set()
    assert_ranked_by(answer, scores(profile), {"i010", "i020"} | known)
    assert {item["source"] for item in answer["items"]} == {"session"}
    assert answer["fallback"] is None
    assert bool(answer["warnings"]) == bool(user)


def test_a_known_user_in_a_session_gets_the_blend(
    disk_client, artifact, scores, seen, profile_of
) -> None:
    answer = post(disk_client, user_id="u003", session_items=["i010"], k=20)
    profile = profile_of(artifact.tensors, 3, [10])
    assert_ranked_by(answer, scores(profile), seen("u003") | {"i010"})
    assert {item["source"] for item in answer["items"]} == {"model"}


def test_unknown_session_items_are_skipped_and_named(disk_client) -> None:
    plain = post(disk_client, session_items=["i010"])
    mixed = post(disk_client, session_items=["gone", "i010", "gone", "never"])
    assert ids(mixed) == ids(plain)
    assert mixed["missing_ids"] == ["gone", "never"]


def test_a_session_of_unknown_items_gets_popular_ones(disk_client) -> None:
    answer = post(disk_client, session_items=["gone"])
    assert answer["fallback"] == "popular"
    assert answer["missing_ids"] == ["gone"]
    assert answer["user_id"] is None
    assert len(answer["items"]) == 10


def test_filters_apply_before_the_best_are_chosen(
    disk_client, artifact, scores, profile_of
) -> None:
    expected = scores(profile_of(artifact.tensors, 5))
    candidates = [f"i{row:03d}" for row in range(40)]
    answer = post(
        disk_client,
        user_id="u005",
        candidates=[*candidates, "gone"],
        exclude=["i003", "lost", "gone"],
        categories=["odd"],
        exclude_seen=False,
        k=19,
    )
    allowed = {item for item in candidates if int(item[1:]) % 2} - {
        "i003",
        "i007",
    }  # 7: no category
    assert_ranked_by(answer, expected, expected.keys() - allowed)
    assert len(answer["items"]) == 18
    assert sorted(answer["missing_ids"]) == ["gone", "lost"]


def test_a_category_can_be_asked_for_by_get(disk_client) -> None:
    answer = get(disk_client, "u005", category=["odd", "nothing"], k=50)
    assert all(int(item[1:]) % 2 for item in ids(answer))
    assert answer["warnings"][0] == "no item is in category 'nothing'"
    assert answer["warning_codes"] == ["unknown_category", "short"]


def test_no_candidates_no_items(disk_client) -> None:
    assert ids(post(disk_client, user_id="u005", candidates=[])) == []


def test_levels_of_explanation_do_not_change_the_list(disk_client) -> None:
    none, experts, full = (
        post(disk_client, user_id="u006", explain=level) for level in ("none", "experts", "full")
    )
    assert ids(none) == ids(experts) == ids(full)
    for bare, usual, item in zip(none["items"], experts["items"], full["items"], strict=True):
        assert bare["experts"] is None
        assert bare["score"] == usual["score"] == item["score"]
        assert usual["experts"] == item["experts"]
        assert usual["by_modality"] is None
        for parts in (item["by_modality"], item["by_view"]):
            assert item["bias"] + sum(parts.values()) == pytest.approx(item["score"], abs=1e-5)
        assert len(item["reasons"]) == 2
        assert bare["reasons"] == bare["because"] == []


def test_every_answer_names_its_request_and_version(disk_client) -> None:
    answer = disk_client.get("/v1/users/u001/recommendations", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "abc-1"
    assert answer.json()["model_version"] == "v1"
    assert answer.json()["variant"] == "champion"
    forged = disk_client.get("/v1/users/u001/recommendations", headers={"X-Request-ID": 'a"b c'})
    assert forged.headers["X-Request-ID"] == forged.json()["request_id"] != 'a"b c'


def test_diversity_reorders_the_same_scores_in_stable_pages(disk_client) -> None:
    plain = post(disk_client, user_id="u004", k=50)
    diverse = post(disk_client, user_id="u004", k=50, diversity=0.6)
    score_of = {item["item_id"]: item["score"] for item in plain["items"]}
    assert ids(diverse) != ids(plain)
    assert ids(diverse)[0] == ids(plain)[0]
    assert [item["rank"] for item in diverse["items"]] == list(range(1, 51))
    for item in diverse["items"]:
        assert item["score"] == score_of.get(item["item_id"], item["score"])
    pages = [
        post(disk_client, user_id="u004", k=5, offset=offset, diversity=0.6)
        for offset in (0, 5, 10)
    ]
    assert [item for page in pages for item in ids(page)] == ids(diverse)[:15]
    assert get(disk_client, "u004", k=50, diversity=0.6)["items"] == diverse["items"]


def test_popular_lists_can_be_diverse_too(disk_client) -> None:
    plain = get(disk_client, "nobody", k=20)
    diverse = get(disk_client, "nobody", k=20, diversity=0.9)
    assert diverse["fallback"] == "popular"
    assert ids(diverse) != ids(plain)
    assert ids(diverse)[0] == ids(plain)[0]


def test_a_list_that_the_caller_brings_is_ranked_whole(
    disk_client, artifact, scores, seen, profile_of
) -> None:
    mine = [*sorted(seen("u004")), "i001", "i002", "unheard"]
    answer = disk_client.post("/v1/score", json={"user_id": "u004", "items": mine}).json()
    expected = scores(profile_of(artifact.tensors, 4))
    assert ids(answer) == sorted(dict.fromkeys(mine[:-1]), key=lambda item: (-expected[item], item))
    assert answer["missing_ids"] == ["unheard"]
    for item in answer["items"]:
        total = item["bias"] + sum(expert["contribution"] for expert in item["experts"])
        assert total == pytest.approx(item["score"], abs=1e-5)
    session = {"session_items": ["i001"], "items": ["i002", "i001"], "explain": "none"}
    answer = disk_client.post("/v1/score", json=session).json()
    assert sorted(ids(answer)) == ["i001", "i002"]
    assert {item["source"] for item in answer["items"]} == {"session"}


def test_a_batch_is_answered_as_its_requests_are(disk_client) -> None:
    requests = [
        {"user_id": "u004", "k": 3},
        {"session_items": ["i001"], "k": 2, "explain": "none"},
        {"user_id": "nobody"},
    ]
    batch = disk_client.post("/v1/recommendations:batch", json={"requests": requests}).json()
    assert [answer["items"] for answer in batch["responses"]] == [
        post(disk_client, **request)["items"] for request in requests
    ]
    assert {answer["model_version"] for answer in batch["responses"]} == {"v1"}
    assert batch["request_id"]


def test_nothing_to_diversify_is_an_empty_list(disk_client) -> None:
    assert post(disk_client, user_id="u001", candidates=[], diversity=0.5)["items"] == []
