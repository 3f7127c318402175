"""Who is named for the items of a list, and what the first reason says."""

import re

import numpy as np
import pytest

from model.runtime.artifact import ArtifactScorer
from model.runtime.evidence import LEAST_SHARE, ListedItems, evidence, named
from service.recommend.because import COMPARED, POPULAR


def listed(client, **body):
    answer = client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def named_in(sentence: str) -> list[str]:
    return re.findall(r"Title \d+|i007", sentence)


def name_of(who) -> str:
    return who["title"] or who["item_id"]


def history_of(artifact, user: int) -> set[str]:
    tensors = artifact.tensors
    start = tensors["seen_offsets"][user]
    rows = tensors["seen_items"][start : start + tensors["history_lengths"][user]]
    return {f"i{row:03d}" for row in rows}


def test_items_of_the_history_are_named_and_the_sentence_says_the_first(
    disk_client, artifact
) -> None:
    sentences = set()
    for user in range(29):
        for item in listed(disk_client, user_id=f"u{user:03d}", k=20):
            who, sentence = item["because"], item["reasons"][0]
            assert len(who) <= 3
            assert {each["item_id"] for each in who} <= history_of(artifact, user)
            assert all(LEAST_SHARE - 1e-6 <= each["share"] <= 1 for each in who)
            assert sum(each["share"] for each in who) < 1.00001
            names = named_in(sentence)
            assert names == [name_of(each) for each in who[: len(names)]]
            assert "expert" not in sentence.lower()
            assert "%" not in sentence
            assert not any(name in sentence for name in artifact.manifest.modalities)
            sentences.add(re.sub(r"Title \d+|i007", "X", sentence))
    assert sentences >= {
        "Because you liked X and X",
        "Because you liked X",
        "Popular with people who liked X",
    }


def test_it_is_who_says_most_above_what_they_say_of_the_best_items(disk_client, artifact) -> None:
    scorer = ArtifactScorer.of(artifact)
    for user in (2, 8, 11):
        profile, history_H = scorer.user(user), scorer.history(user)
        (rows_R,) = scorer.top([profile], COMPARED, [scorer.seen(user)])
        breakdown = scorer.scorer.explain(profile, rows_R[:7])
        found = evidence(
            scorer.profiles,
            artifact.tensors["item_embeddings"],
            [ListedItems(rows_R, profile, [history_H])],
            breakdown.contribution_CKVM.sum(axis=1).reshape(1, 7, -1),
        )
        chosen = named(found, 7)
        items = listed(disk_client, user_id=f"u{user:03d}", k=7)
        assert [item["item_id"] for item in items] == [f"i{row:03d}" for row in rows_R[:7]]
        for place, item in enumerate(items):
            for who, column, share in zip(
                item["because"],
                chosen.column_BNX[0, place],
                chosen.share_BNX[0, place],
                strict=False,
            ):
                assert who["item_id"] == f"i{history_H[column]:03d}"
                assert who["share"] == pytest.approx(share, abs=1e-5)


def test_shares_are_those_of_the_explanation(disk_client) -> None:
    (item,) = listed(disk_client, user_id="u004", k=1)
    path = f"/v1/users/u004/explanations/{item['item_id']}"
    history = disk_client.get(path).json()["history"]
    share_of = {each["item_id"]: each["share"] for each in history}
    known = [who for who in item["because"] if who["item_id"] in share_of]
    assert known
    for who in known:
        assert who["share"] == pytest.approx(share_of[who["item_id"]], abs=1e-5)


def test_the_explanation_of_one_item_names_whom_the_list_does(disk_client) -> None:
    kinds = set()
    for user in (0, 4, 8):
        for item in listed(disk_client, user_id=f"u{user:03d}", k=COMPARED):
            path = f"/v1/users/u{user:03d}/explanations/{item['item_id']}"
            found = disk_client.get(path).json()
            assert found["reason"] == item["reasons"][0]
            assert [who["item_id"] for who in found["because"]] == [
                who["item_id"] for who in item["because"]
            ]
            for one, other in zip(found["because"], item["because"], strict=True):
                assert one["title"] == other["title"]
                assert one["share"] == pytest.approx(other["share"], abs=1e-5)
            kinds.add(len(found["because"]))
    assert len(kinds) > 1


def test_of_an_item_that_is_no_recommendation_it_names_somebody_or_says_so(disk_client) -> None:
    session = ["i003", "i009"]
    for item_id in ("i003", "i041"):
        body = {"session_items": session, "item_id": item_id}
        found = disk_client.post("/v1/explain", json=body).json()
        assert {who["item_id"] for who in found["because"]} <= {*session} - {item_id}
        assert bool(named_in(found["reason"])) <= bool(found["because"])


def test_a_page_hardly_changes_who_is_named(disk_client) -> None:
    same = []
    for user in range(0, 28, 3):
        asked = {"user_id": f"u{user:03d}"}
        whole = listed(disk_client, **asked, k=COMPARED)
        half = COMPARED // 2  # others are compared by what similarities of the page count
        pages = listed(disk_client, **asked, k=half)
        pages += listed(disk_client, **asked, k=half, offset=half)
        for one, other in zip(whole, pages, strict=True):
            same.append(one["because"][:1] == other["because"][:1])
    assert np.mean(same) > 0.8


def test_a_session_names_its_own_items(disk_client) -> None:
    session = ["i003", "i009"]
    for item in listed(disk_client, session_items=session):
        assert {who["item_id"] for who in item["because"]} <= set(session)
        assert "liked Title" not in item["reasons"][0] or "people who" in item["reasons"][0]
        assert item["reasons"][2] == "Based on the session's items only"


def test_no_item_is_a_reason_for_itself(disk_client, artifact) -> None:
    own = sorted(history_of(artifact, 4))
    body = {"user_id": "u004", "items": own}
    for item in disk_client.post("/v1/score", json=body).json()["items"]:
        assert item["item_id"] not in {who["item_id"] for who in item["because"]}


def test_a_new_item_is_called_new_and_what_it_is_like(disk_client, artifact) -> None:
    popularity = artifact.tensors["item_popularity"]
    new = [f"i{row:03d}" for row in np.flatnonzero(popularity == 0)]
    assert new
    found = []
    for user in range(20):
        for item in listed(disk_client, user_id=f"u{user:03d}", candidates=new, exclude_seen=False):
            sentence = item["reasons"][0]
            if item["because"]:
                name = re.escape(name_of(item["because"][0]))
                pattern = rf"New, and like {name}( in (description|looks)( and (\w+))?)?"
                assert re.fullmatch(pattern, sentence)
            else:
                assert sentence == "New"
            found.append(sentence)
    assert any(sentence.endswith("in description") for sentence in found)
    assert any("looks" in sentence for sentence in found)


def test_what_popularity_alone_has_chosen_is_called_popular(disk_client) -> None:
    kinds = {True: 0, False: 0}
    for user in range(29):
        for item in listed(disk_client, user_id=f"u{user:03d}", k=50):
            rest = item["score"] - item["bias"]
            if abs(item["bias"] - rest) < 1e-5 or item["reasons"][0].startswith("New"):
                continue
            is_popular = item["bias"] > 0 and item["bias"] > rest
            assert (item["reasons"][0] == POPULAR) == is_popular
            kinds[is_popular] += 1
    assert min(kinds.values()) > 0
