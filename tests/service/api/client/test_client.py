"""Both clients against a real service over a socket."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import magnet_client
from magnet_client import (
    AsyncClient,
    Client,
    Event,
    Forbidden,
    InvalidRequest,
    NotFound,
    Unauthenticated,
)


@pytest.fixture
def ask(connect, url, keys):
    return connect(url, api_key=keys["everything"][1])


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: list(inspect.signature(method).parameters.values())
            for name, method in inspect.getmembers(client, inspect.isroutine)
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)
    assert {"recommend", "feedback", "close"} <= methods(Client).keys()


def test_lists_for_users_sessions_and_both(ask) -> None:
    answer = ask("recommend", "u000", k=3)
    assert (answer.user_id, answer.model_version, answer.fallback) == ("u000", "v1", None)
    assert [item.rank for item in answer.items] == [1, 2, 3]
    for item in answer.items:
        total = item.bias + sum(expert.contribution for expert in item.experts)
        assert item.score == pytest.approx(total, abs=1e-5)
    best = answer.items[0].item_id
    session = ask("recommend", session_items=["i000"], k=5, explain="full", diversity=0.2)
    assert {item.source for item in session.items} == {"session"}
    assert session.items[0].by_modality
    without = ask("recommend", "u000", session_items=["i001"], exclude=[best], k=20)
    assert best not in {item.item_id for item in without.items}
    assert ask("recommend", "nobody").fallback == "popular"


def test_listings_have_pages(ask) -> None:
    for call, entries in [
        (("users", "u00"), lambda page: page.user_ids),
        (("items", "title"), lambda page: page.items),
        (("categories",), lambda page: page.categories),
        (("user", "u001"), lambda page: page.history),
    ]:
        whole = ask(*call)
        first = ask(*call, limit=1)
        assert first.next_cursor is not None, call
        second = ask(*call, limit=1, cursor=first.next_cursor)
        assert [*entries(first), *entries(second)] == entries(whole)[:2]
    assert ask("models", limit=1).next_cursor is None


def test_a_batch_is_answered_in_order(ask) -> None:
    answer = ask("recommend_batch", [{"user_id": "u001", "k": 1}, {"session_items": ["i000"]}])
    assert [each.user_id for each in answer.responses] == ["u001", None]
    assert [len(each.items) for each in answer.responses] == [1, 10]


def test_a_list_to_rank_and_why(ask) -> None:
    ranked = ask("score", ["i003", "i004", "no such"], user_id="u002")
    assert {item.item_id for item in ranked.items} == {"i003", "i004"}
    assert ranked.missing_ids == ["no such"]
    best = ranked.items[0]
    why = ask("explain", "u002", best.item_id)
    assert why.score == pytest.approx(best.score, abs=1e-5)
    assert why.sentence
    assert ask("explain", None, "i003", session_items=["i000"]).source == "session"


def test_rules_of_one_list_and_of_every_list(ask) -> None:
    boost = {"filters": [{"attribute": "category", "op": "==", "value": "even"}], "points": 9.0}
    lifted = ask("recommend", "u000", k=3, boosts=[boost], pins=[{"item_id": "i001", "rank": 2}])
    assert lifted.items[1].item_id == "i001"
    assert [each.points for each in lifted.items[0].adjustments] == [9.0]
    why = ask("explain", "u000", lifted.items[0].item_id, boosts=[boost])
    assert why.adjustments == lifted.items[0].adjustments
    rules = {"filters": [{"attribute": "category", "op": "!=", "value": "even"}]}
    assert ask("put_rules", rules).warnings == []
    assert ask("rules").rules["filters"][0]["op"] == "!="
    odd = {int(item.item_id[1:]) % 2 for item in ask("recommend", "u000", k=9).items}
    assert odd <= {1}
    assert ask("delete_rules").rules["filters"] == []


def test_looking_around(ask) -> None:
    found = ask("items", limit=2)
    assert len(found.items) == 2
    named = ask("items_named", [found.items[1].item_id, "no such"])
    assert named.items == [found.items[1]]
    assert named.missing_ids == ["no such"]
    neighbours = ask("similar", "i000", k=4, modality="text")
    assert [item.rank for item in neighbours.items] == [1, 2, 3, 4]
    assert neighbours.modality == "text"
    assert ask("model").model_version == "v1"
    assert ask("models").live == "v1"


def test_the_catalogue_is_changed(ask) -> None:
    put = ask("put_item", "a/b", title="New", categories=["odd"], attributes={"price": 2.5})
    assert (put.item_id, put.encoded_by) == ("a/b", "categories")
    later = ask("patch_item", "a/b", title="Newer", attributes={"brand": "x"})
    assert later.revision > put.revision
    found = ask("item", "a/b")
    assert (found.title, found.attributes) == ("Newer", {"price": 2.5, "brand": "x"})
    assert ask("put_items", [{"item_id": "c"}, {"item_id": "a/b", "title": "Last"}]).new == 1
    assert ask("delete_item", "a/b").item_id == "a/b"
    with pytest.raises(NotFound):
        ask("patch_item", "a/b", title="x")


def test_an_event_counts_once_and_its_item_is_seen(ask) -> None:
    best = ask("recommend", "u003", k=1)
    event = Event(
        user_id="u003",
        item_id=best.items[0].item_id,
        type="click",
        model_version=best.model_version,
        rank=1,
    )
    assert ask("feedback", event).accepted == 1
    again = ask("feedback", event, Event(user_id="u003", item_id="new", type="view"))
    assert (again.accepted, again.duplicates, again.missing_ids) == (1, 1, ["new"])
    assert ask("recommend", "u003", k=1).items[0].item_id != event.item_id


def test_an_answer_that_is_lost_is_asked_for_again(connect, url, keys, proxy, until) -> None:
    line = proxy(int(url.rstrip("/").rsplit(":", 1)[1]))

    def lose_the_first(data: bytes) -> bytes:
        line.spoil = bytes
        line.cut()
        line.mend()
        return b""

    line.spoil = lose_the_first
    ask = connect(f"http://127.0.0.1:{line.port}", api_key=keys["everything"][1])
    receipt = ask("feedback", Event(user_id="u004", item_id="i001", type="like"))
    assert (receipt.accepted, receipt.duplicates) == (0, 1)


def test_a_refusal_says_why(ask) -> None:
    with pytest.raises(NotFound, match="no such item") as refusal:
        ask("explain", "u000", "no such item")
    assert refusal.value.problem.type == "urn:magnet:problem:unknown-item"
    assert refusal.value.problem.request_id
    with pytest.raises(InvalidRequest) as refusal:
        ask("recommend", "u000", k=1000)
    assert [fault.field for fault in refusal.value.problem.errors] == ["k"]
    with pytest.raises(InvalidRequest, match="user_id, session_items or both"):
        ask("recommend")


def test_keys(connect, url, keys) -> None:
    with pytest.raises(Unauthenticated):
        connect(url)("model")
    ask = connect(url, api_key=keys["shop"][1])
    with pytest.raises(Forbidden):
        ask("model")
    assert ask("feedback", Event(user_id="a", item_id="b", type="view")).accepted == 1


def test_address_and_key_come_from_the_environment(
    url, keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGNET_URL", url)
    monkeypatch.setenv("MAGNET_API_KEY", keys["reader"][1])
    with Client() as client:
        assert client.model().model_version == "v1"
    for settings in ({"api_key": ""}, {"base_url": url, "trust_env": False}):
        with Client(**settings) as client, pytest.raises(Unauthenticated):
            client.model()
    monkeypatch.setenv("MAGNET_URL", "127.0.0.1")
    with pytest.raises(ValueError, match="must start with http"):
        Client()


def test_the_release_is_that_of_the_package() -> None:
    folder = Path(magnet_client.__file__).parents[1]
    version = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["hatch"]["version"]
    found = re.search(version["pattern"], (folder / version["path"]).read_text())
    assert found is not None
    assert magnet_client.__version__ == found["version"]
