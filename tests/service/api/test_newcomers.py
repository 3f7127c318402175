"""Of users who are not in the model popularity says the more, the less is known of them."""

from dataclasses import replace

import pytest

from model.artifact.files import write_artifact
from model.artifact.tables import IdTable
from service.ops.settings import Settings
from service.recommend.because import POPULAR

MORE = 6.0


@pytest.fixture(scope="module")
def clients(make_artifact, tmp_path_factory, serving):
    """The same model, where popularity says more of newcomers and where it does not."""
    artifact = make_artifact("v1", 1)
    manifest = artifact.manifest.model_copy(update={"newcomer_popularity": MORE})
    folders = tmp_path_factory.mktemp("more"), tmp_path_factory.mktemp("plain")
    write_artifact(folders[0], replace(artifact, manifest=manifest))
    write_artifact(folders[1], artifact)
    with (
        serving(Settings(artifact_dir=folders[0])) as more,
        serving(Settings(artifact_dir=folders[1])) as plain,
    ):
        yield more, plain


def ask(client, **body):
    request = {"k": 50, "explain": "full", "exclude_seen": False} | body
    answer = client.post("/v1/recommendations", json=request)
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item for item in answer.json()["items"]}


@pytest.mark.parametrize("session", [["i003"], ["i003", "i008", "i011"]])
def test_a_sessions_scores_have_it(clients, artifact, session) -> None:
    more, plain = (ask(client, session_items=session, k=1000) for client in clients)
    assert more.keys() == plain.keys()
    popularity_I, bias_I = artifact.tensors["item_popularity"], artifact.tensors["item_bias"]
    least = bias_I[popularity_I > 0].min()
    ids = IdTable(artifact.tensors["item_ids_blob"], artifact.tensors["item_ids_offsets"])
    for item_id, item in more.items():
        row = ids.row(item_id)
        popular = bias_I[row] if popularity_I[row] > 0 else least
        expected = MORE / len(session) * popular
        assert item["bias"] - plain[item_id]["bias"] == pytest.approx(expected, abs=1e-5)
        assert item["score"] - plain[item_id]["score"] == pytest.approx(expected, abs=1e-5)
        parts = sum(expert["contribution"] for expert in item["experts"])
        assert item["score"] == pytest.approx(item["bias"] + parts, abs=1e-4)
    assert [x["score"] for x in more.values()] == sorted(
        (x["score"] for x in more.values()), reverse=True
    )


def test_a_short_list_is_the_beginning_of_the_whole(clients) -> None:
    whole = ask(clients[0], session_items=["i003"], k=1000)
    assert [*ask(clients[0], session_items=["i003"], k=7)] == [*whole][:7]


def test_users_of_the_model_have_none_of_it(clients) -> None:
    more, plain = (ask(client, user_id="u001") for client in clients)
    assert more == plain


def test_an_explanation_agrees_with_the_list(clients) -> None:
    item = next(iter(ask(clients[0], session_items=["i003", "i008"]).values()))
    body = {"item_id": item["item_id"], "session_items": ["i003", "i008"]}
    found = clients[0].post("/v1/explain", json=body).json()
    assert (found["score"], found["bias"]) == (item["score"], item["bias"])


def test_an_item_that_popularity_lists_says_so(clients) -> None:
    more, plain = (ask(client, session_items=["i003"], explain="experts") for client in clients)

    def popular(items) -> int:
        return sum(item["reasons"][0] == POPULAR for item in items.values())

    assert popular(more) > popular(plain)
