"""Lists, scores and explanations as if some kinds of information said nothing."""

from dataclasses import replace

import numpy as np
import pytest

MODALITIES = "behaviour", "text", "picture"


def post(client, path: str = "recommendations", **body):
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def expected(artifact, profile_of, reference):
    """Every item's score for a user whose similarities of some modalities are 0, by numpy."""

    def of(user: int, *left_out: str):
        profile = profile_of(artifact.tensors, user)
        places = [MODALITIES.index(name) for name in left_out]
        vector_VMD = profile.vector_VMD.copy()
        vector_VMD[:, places] = 0
        without = replace(profile, vector_VMD=vector_VMD)
        if 0 in places:
            without = without.by_vector_alone()
        score_I, _, _ = reference(artifact.tensors, without, np.arange(80))
        return score_I

    return of


@pytest.mark.parametrize("left_out", [["text"], ["behaviour"], ["behaviour", "picture"]])
def test_a_list_is_made_as_if_they_said_nothing_and_its_scores_add_up(
    disk_client, expected, left_out
) -> None:
    changed = 0
    for user in range(29):
        asked = {"user_id": f"u{user:03d}", "k": 10, "explain": "full", "exclude_seen": False}
        items = post(disk_client, **asked, without_modalities=left_out)["items"]
        score_I = expected(user, *left_out)
        best = np.argsort(-score_I, kind="stable")[:10]
        assert [item["item_id"] for item in items] == [f"i{row:03d}" for row in best]
        for item, score in zip(items, score_I[best], strict=True):
            assert item["score"] == pytest.approx(score, abs=1e-5)
            assert {item["by_modality"][name] for name in left_out} == {0}
            assert item["bias"] + sum(item["by_modality"].values()) == pytest.approx(
                item["score"], abs=1e-5
            )
            assert all(0 <= each["share"] <= 1 for each in item["because"])
        changed += items != post(disk_client, **asked)["items"]
    assert changed == 29


def test_without_all_of_them_the_bias_is_left(disk_client) -> None:
    asked = {"user_id": "u003", "session_items": ["i004"], "without_modalities": MODALITIES}
    answer = post(disk_client, **asked)
    assert answer["fallback"] is None
    assert all(item["score"] == item["bias"] for item in answer["items"])
    assert [item["because"] for item in answer["items"]] == [[]] * 10


def test_explanations_and_scores_say_the_same_as_the_list(disk_client) -> None:
    asked = {"user_id": "u003", "session_items": ["i004"], "without_modalities": ["behaviour"]}
    item = post(disk_client, **asked, explain="full")["items"][0]
    why = post(disk_client, "explain", **asked, item_id=item["item_id"])
    assert why["score"] == pytest.approx(item["score"], abs=1e-5)
    assert why["by_modality"] == pytest.approx(item["by_modality"], abs=1e-5)
    assert why["rank"] == 1
    (scored,) = post(disk_client, "score", **asked, items=[item["item_id"]])["items"]
    assert scored["score"] == pytest.approx(item["score"], abs=1e-5)


@pytest.mark.parametrize(("user", "left_out"), [("nobody", ["text"]), ("u003", [])])
def test_popular_items_stay_and_so_do_all_where_nothing_is_left_out(
    disk_client, user: str, left_out: list[str]
) -> None:
    found = post(disk_client, user_id=user, without_modalities=left_out)["items"]
    assert found == post(disk_client, user_id=user)["items"]


@pytest.mark.parametrize("path", ["recommendations", "recommendations:batch", "explain", "score"])
def test_one_that_the_model_has_not_is_refused_by_name(disk_client, path: str) -> None:
    asked = {"user_id": "u003", "without_modalities": ["text", "smell"]}
    bodies = {
        "recommendations": asked,
        "recommendations:batch": {"requests": [{"user_id": "u003"}, asked]},
        "explain": asked | {"item_id": "i004"},
        "score": asked | {"items": ["i004"]},
    }
    answer = disk_client.post(f"/v1/{path}", json=bodies[path])
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    of_batch = "requests.1." if path.endswith("batch") else ""
    assert fault["field"] == f"{of_batch}without_modalities"
    assert fault["message"] == "'smell' is not one of behaviour, text, picture"
