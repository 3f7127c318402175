from itertools import chain

import numpy as np
import pytest


def explain(client, user_id: str, item_id: str):
    answer = client.get(f"/v1/users/{user_id}/explanations/{item_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_part_adds_up_for_any_pair(disk_client) -> None:
    for user in range(0, 28, 3):
        for item in range(0, 80, 9):
            answer = explain(disk_client, f"u{user:03d}", f"i{item:03d}")
            points = pytest.approx(answer["score"] - answer["bias"], abs=1e-5)
            assert len(answer["experts"]) == 5
            assert sum(expert["contribution"] for expert in answer["experts"]) == points
            assert sum(expert["weight"] for expert in answer["experts"]) == pytest.approx(1)
            assert sum(answer["by_modality"].values()) == points
            assert sum(answer["by_view"].values()) == points
            for modality, views in answer["matrix"].items():
                total = pytest.approx(answer["by_modality"][modality], abs=1e-6)
                assert sum(views.values()) == total
            active = [expert for expert in answer["experts"] if expert["weight"] > 0]
            assert 0 <= answer["gate_entropy"] < 1
            assert (answer["gate_entropy"] == 0) == (len(active) == 1)


def test_an_explanation_belongs_to_the_recommended_list(disk_client) -> None:
    items = disk_client.get("/v1/users/u008/recommendations?k=20").json()["items"]
    for item in items:
        answer = explain(disk_client, "u008", item["item_id"])
        assert answer["score"] == pytest.approx(item["score"], abs=1e-6)
        assert answer["rank"] == item["rank"]
        assert answer["seen"] is False
        active = [expert for expert in answer["experts"] if expert["weight"] > 0]
        for explained, listed in zip(active, item["experts"], strict=True):
            assert explained.pop("usual_weight") == 0.2
            assert explained.pop("rank_without") >= 1
            explained.pop("matrix")  # lists have none; its sums are tested beside it
            for number in ("weight", "contribution"):
                assert explained.pop(number) == pytest.approx(listed.pop(number), abs=1e-6)
            assert explained == listed


def test_the_rank_without_an_expert_is_that_of_the_scores_without_its_part(
    disk_client, artifact, reference, profile_of
) -> None:
    tensors = artifact.tensors
    seen = tensors["seen_items"][tensors["seen_offsets"][4] : tensors["seen_offsets"][5]]
    scores, _, parts = reference(tensors, profile_of(tensors, 4), np.arange(80))
    parts_IK = np.asarray(parts).sum(axis=(2, 3))
    unseen = np.setdiff1d(np.arange(80), seen)
    for item in unseen[::7]:
        for expert in explain(disk_client, "u004", f"i{item:03d}")["experts"]:
            index = [e.name for e in artifact.manifest.experts].index(expert["name"])
            without = (scores - parts_IK[:, index])[unseen]
            mine = scores[item] - parts_IK[item, index]
            better = np.count_nonzero(without > mine + 1e-5)
            as_good = np.count_nonzero(without > mine - 1e-5)
            assert better + 1 <= expert["rank_without"] <= as_good


def explain_for(client, **body):
    answer = client.post("/v1/explain", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_session_is_explained_by_its_own_items(disk_client) -> None:
    session = ["i003", "unheard", "i009"]
    listed = disk_client.post(
        "/v1/recommendations", json={"session_items": session, "k": 3}
    ).json()["items"]
    for item in listed:
        answer = explain_for(disk_client, session_items=session, item_id=item["item_id"])
        assert (answer["user_id"], answer["source"]) == (None, "session")
        assert answer["missing_ids"] == ["unheard"]
        assert (answer["rank"], answer["seen"]) == (item["rank"], False)
        assert answer["score"] == pytest.approx(item["score"], abs=1e-6)
        assert {evidence["item_id"] for evidence in answer["history"]} <= {"i003", "i009"}
        assert "user's history" not in answer["sentence"]


def test_a_user_in_a_session_is_explained_by_both(disk_client) -> None:
    asked = {"user_id": "u004", "session_items": ["i003", "i009"]}
    listed = disk_client.post("/v1/recommendations", json=asked | {"k": 50}).json()["items"]
    named = set()
    for item in listed:
        answer = explain_for(disk_client, **asked, item_id=item["item_id"])
        assert answer["rank"] == item["rank"]
        total = answer["bias"] + sum(expert["contribution"] for expert in answer["experts"])
        assert total == pytest.approx(answer["score"], abs=1e-5)
        named |= {evidence["item_id"] for evidence in answer["history"]}
    assert named & {"i003", "i009"}
    assert named - {"i003", "i009"}


def test_an_unknown_user_in_a_session_is_explained_by_the_session(disk_client) -> None:
    answer = explain_for(disk_client, user_id="nobody", session_items=["i003"], item_id="i005")
    assert answer["source"] == "session"
    assert "'nobody' is not known" in answer["warnings"][0]


def test_a_session_that_says_nothing_has_no_explanation(disk_client) -> None:
    answer = disk_client.post("/v1/explain", json={"session_items": ["x"], "item_id": "i001"})
    assert answer.status_code == 404
    assert "none of the session items" in answer.json()["detail"]


def test_a_seen_item_is_ranked_among_the_unseen_ones(
    disk_client, artifact, reference, profile_of
) -> None:
    tensors = artifact.tensors
    seen = tensors["seen_items"][tensors["seen_offsets"][4] : tensors["seen_offsets"][5]]
    scores, _, _ = reference(tensors, profile_of(tensors, 4), np.arange(80))
    answer = explain(disk_client, "u004", f"i{seen[0]:03d}")
    unseen = np.delete(scores, seen)
    assert answer["seen"] is True
    assert answer["rank"] == 1 + np.count_nonzero(unseen > scores[seen[0]])
    assert answer["ranked_items"] == len(unseen) + 1


def test_the_evidence_is_the_history_that_the_user_was_learnt_from(disk_client, artifact) -> None:
    tensors = artifact.tensors
    seen = tensors["seen_items"][tensors["seen_offsets"][4] : tensors["seen_offsets"][5]]
    own = {f"i{row:03d}" for row in seen[: tensors["history_lengths"][4]]}
    assert len(own) < len(seen)
    for item in ["i001", f"i{seen[0]:03d}", "i042"]:
        answer = explain(disk_client, "u004", item)
        named = [evidence["item_id"] for evidence in answer["history"]]
        shares = [evidence["share"] for evidence in answer["history"]]
        assert set(named) <= own - {item}
        assert len(named) <= 5
        assert all(share > 0 for share in shares)
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1.000001
        assert answer["sentence"].startswith(f"Rank {answer['rank']} of {answer['ranked_items']}: ")
        for evidence in answer["history"][:3]:
            assert (evidence["title"] or evidence["item_id"]) in answer["sentence"]


@pytest.mark.parametrize("modality", [None, "text"])
def test_neighbours_are_the_nearest_by_cosine(disk_client, artifact, modality) -> None:
    params = {"k": 50} | ({"modality": modality} if modality else {})
    answer = disk_client.get("/v1/items/i010/similar", params=params).json()
    vectors = artifact.tensors["item_embeddings"]
    unit_IVMD = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    cosine_IM = np.einsum("ivmd,vmd->ivm", unit_IVMD, unit_IVMD[10]).mean(axis=1)
    order = cosine_IM[:, 1] if modality else cosine_IM.mean(axis=1)
    best = [row for row in np.argsort(-order) if row != 10][:50]
    assert [item["item_id"] for item in answer["items"]] == [f"i{row:03d}" for row in best]
    for item, row in zip(answer["items"], best, strict=True):
        assert item["similarity"] == pytest.approx(order[row], abs=1e-5)
        assert list(item["by_modality"].values()) == pytest.approx(cosine_IM[row], abs=1e-5)
    assert answer["modality"] == modality


@pytest.mark.parametrize(
    ("user", "session"), [(4, []), (4, ["i003", "i009"]), (None, ["i003", "i009"])]
)
def test_a_part_of_history_is_its_share_of_cosines_and_neighbourhood(
    disk_client, artifact, reference, profile_of, profile_of_histories, user, session
) -> None:
    """Nothing of what is added up is left out, so that what is named is right to the last digit."""
    tensors = artifact.tensors
    rows = [int(item[1:]) for item in session]
    sides = [rows] if rows else []
    if user is None:
        profile = profile_of_histories(tensors, rows)
    else:
        profile = profile_of(tensors, user, *sides)
        start, length = tensors["seen_offsets"][user], tensors["history_lengths"][user]
        sides = [tensors["seen_items"][start : start + length].tolist(), *sides]
    vectors = []
    for side in sides:
        foldin_HVMD = tensors["item_foldin"][side]
        vectors.append(foldin_HVMD / np.linalg.norm(foldin_HVMD, axis=-1, keepdims=True).sum(0))
    free_VMD = np.zeros_like(vectors[0][0])
    if user is not None:
        free_VMD = tensors["user_embeddings"][user] - vectors[0].sum(0)
        assert np.linalg.norm(free_VMD) > 0.1
    vectors_HVMD = np.concatenate([*vectors, free_VMD[None]])
    for item in (1, 30, 42, 57):
        (score,), _, (parts_KVM,) = reference(tensors, profile, np.array([item]))
        said = [part for side in sides for part in said_by(tensors, side, item) / len(sides)]
        share_HVM = np.einsum("hvmd,vmd->hvm", vectors_HVMD, tensors["item_embeddings"][item])
        share_HVM /= np.linalg.norm(vectors_HVMD.sum(0), axis=-1)
        share_HVM[:-1, 0, 0] += said
        parts_H = (share_HVM / share_HVM.sum(0) * parts_KVM.sum(0)).sum((1, 2))
        assert parts_H.sum() == pytest.approx(score - tensors["item_bias"][item], abs=1e-5)
        asked = {"session_items": session, "item_id": f"i{item:03d}"}
        answer = explain_for(disk_client, **asked | ({} if user is None else {"user_id": "u004"}))
        named = {each["item_id"]: each["contribution"] for each in answer["history"]}
        expected = {
            f"i{row:03d}": part
            for row, part in zip(chain(*sides), parts_H[:-1].tolist(), strict=True)
            if part > 0 and row != item
        }
        best = sorted(expected, key=lambda name: -expected[name])[:5]
        assert named == pytest.approx({name: expected[name] for name in best}, abs=1e-5)
        unnamed = sum(parts_H[:-1]) - sum(expected[name] for name in best)
        whole = sum(named.values()) + unnamed + answer["beyond_history"]
        assert whole == pytest.approx(answer["score"] - answer["bias"], abs=1e-5)
        assert (answer["beyond_history"] == 0) == (user is None)


def test_a_session_whose_items_all_speak_for_an_item_is_the_whole_score(disk_client) -> None:
    session = ["i003", "i009", "i021"]
    whole = 0
    for item in range(80):
        asked = {"session_items": session, "item_id": f"i{item:03d}"}
        answer = explain_for(disk_client, **asked)
        if len(answer["history"]) == len(session):
            whole += 1
            parts = sum(each["contribution"] for each in answer["history"])
            assert parts == pytest.approx(answer["score"] - answer["bias"], abs=1e-5)
            assert answer["beyond_history"] == 0
    assert whole > 0


def said_by(tensors, side: list[int], item: int) -> np.ndarray:
    """What each item of a history says for another item."""
    offsets, num_items = tensors["neighbourhood_offsets"], len(tensors["item_bias"])
    said_HI = np.zeros((len(side), num_items))
    for said_I, row in zip(said_HI, side, strict=True):
        part = slice(*offsets[row : row + 2])
        said_I[tensors["neighbourhood_items"][part]] += tensors["neighbourhood_weights"][part]
    said_HI *= 0.3 / said_HI.sum(0).std()
    return said_HI[:, item]
