"""A kept answer is what a service without kept answers says at the same moment.

Any order of changes and questions, on two replicas that keep answers and one that keeps none.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from model.artifact.files import write_artifact
from tests.service.api.stateful.expected import KINDS
from tests.service.api.stateful.world import World

STEPS = int(os.environ.get("STEPS", "60"))
SEED = int(os.environ.get("SEED", "1"))
STORY = 20
"""Steps after which everything begins anew. The first story is Hypothesis's simplest: one call,
again and again."""
SETTINGS: list[dict[str, Any]] = [{}, {}, {"kept_answers_bytes": 0}]
KEEPING, PLAIN = (0, 1), 2

USERS = ["u000", "u001", "u002", "visitor"]
ITEMS = ["i000", "i003", "i012", "new1"]
REQUESTS: list[dict[str, Any]] = [
    {},
    {"k": 5, "offset": 2, "explain": "full"},
    {"exclude_seen": False, "default_rules": False, "diversity": 0.5},
    {"session_items": ["i003", "new1"], "candidates": ["i000", "i003", "i012", "nothing"]},
    {"boosts": [{"filters": [{"attribute": "category", "op": "==", "value": "new"}], "points": 1}]},
]
RULES: list[dict[str, Any]] = [
    {"filters": [{"attribute": "category", "op": "!=", "value": "new"}]},
    {"pins": [{"item_id": "i012", "rank": 1}]},
]
users, items = st.sampled_from(USERS), st.sampled_from(ITEMS)
requests = st.sampled_from(REQUESTS)
places = st.integers(0, len(SETTINGS) - 1)


class Changes(RuleBasedStateMachine):
    """Replicas that keep answers, beside one that keeps none."""

    def __init__(
        self, world: World, until: Callable[..., None], asked: Counter[tuple[int, str]]
    ) -> None:
        super().__init__()
        self.world = world
        self.until = until
        self.asked = asked
        self.numbers = itertools.count()
        self.questions: list[dict[str, Any]] = []

    @initialize(asked=st.lists(st.tuples(users, requests), min_size=4, max_size=4))
    def begin(self, asked: list[tuple[str, dict[str, Any]]]) -> None:
        self.questions = [{"user_id": user, **more} for user, more in asked]
        self.world.begin("v1", SETTINGS)
        self.world.publish("v2")
        self.live("v2")

    def teardown(self) -> None:
        for place, client in enumerate(self.world.clients):
            for result in ("hit", "miss", "changed"):
                sample = f'magnet_kept_answers_total{{result="{result}"}}'
                self.asked[place, result] += int(client.metric(sample))
        self.world.end()

    @rule(user=users, item=items, kind=st.sampled_from(KINDS), place=places)
    def feedback(self, user: str, item: str, kind: str, place: int) -> None:
        event = {
            "event_id": f"e{next(self.numbers)}",
            "user_id": user,
            "item_id": item,
            "type": kind,
            "timestamp": "2026-01-01T12:00:00Z",
        }
        self.ok("POST", "/v1/feedback", place, json={"events": [event]})

    @rule(item=items, available=st.booleans(), place=places)
    def hide(self, item: str, available: bool, place: int) -> None:
        path = f"/v1/items/{item}/availability"
        self.ok("PUT", path, place, json={"available": available})

    @rule(rules=st.sampled_from([None, *RULES]), place=places)
    def rules(self, rules: dict[str, Any] | None, place: int) -> None:
        if rules is None:
            self.ok("DELETE", "/v1/rules", place)
        else:
            self.ok("PUT", "/v1/rules", place, json=rules)

    @rule(item=items, place=places)
    def put(self, item: str, place: int) -> None:
        title = f"Title {next(self.numbers)}"
        self.ok("PUT", f"/v1/items/{item}", place, json={"title": title, "categories": ["new"]})
        for client in self.world.clients:
            self.until(lambda client=client: self.title(client, item) == title)
        self.until(self.agree, 60)  # a canary takes the item in after the live model

    @rule(user=users, place=places)
    def erase(self, user: str, place: int) -> None:
        self.ok("DELETE", f"/v1/users/{user}", place)

    @rule(version=st.sampled_from(["v1", "v2"]), place=places)
    def activate(self, version: str, place: int) -> None:
        self.ok("POST", f"/v1/models/{version}:activate", place, json={"pin": False})
        self.live(version)

    @rule(share=st.sampled_from([0.2, 0.5]), place=places)
    def canary(self, share: float, place: int) -> None:
        client = self.world.clients[place]
        live = client.get("/v1/model").json()["model_version"]
        version = "v1" if live == "v2" else "v2"
        self.ok("POST", f"/v1/models/{version}:canary", place, json={"share": share})
        sample = f'magnet_canary_share{{model_version="{version}"}}'
        for client in self.world.clients:
            self.until(lambda client=client: client.metric(sample) == share)

    @invariant()
    def kept_answers_are_true(self) -> None:
        """The same questions after every single change."""
        for body in self.questions if self.world.clients else ():
            true = self.answer(PLAIN, body)
            for place in KEEPING:
                assert self.answer(place, body) == true

    def agree(self) -> bool:
        """Whether all services answer alike by now."""
        return all(
            self.answer(PLAIN, body) == self.answer(place, body)
            for body in self.questions
            for place in KEEPING
        )

    def answer(self, place: int, body: dict[str, Any]) -> dict[str, Any]:
        found = self.ok("POST", "/v1/recommendations", place, json=body)
        assert not [x for x in found["warnings"] if "store" in x]
        return {name: found[name] for name in found if name not in ("request_id", "took_ms")}

    def live(self, version: str) -> None:
        for client in self.world.clients:
            self.until(
                lambda client=client: (
                    client.get("/v1/model").json().get("model_version") == version
                ),
                60,
            )

    def title(self, client: Any, item: str) -> str | None:
        found = client.get(f"/v1/items/{item}")
        return found.json()["title"] if found.status_code == 200 else None

    def ok(self, method: str, path: str, place: int, **more: Any) -> Any:
        answer = self.world.clients[place].request(method, path, **more)
        assert answer.status_code in (200, 201, 202), f"{method} {path}: {answer.text}"
        return answer.json()


@pytest.fixture
def world(make_artifact, serving, tmp_path, monkeypatch) -> Iterator[World]:
    monkeypatch.setattr("service.app.ITEMS_SECONDS", 0.05)
    folders = {version: tmp_path / version for version in ("v1", "v2")}
    for number, (version, folder) in enumerate(folders.items(), 1):
        folder.mkdir()
        write_artifact(folder, make_artifact(version, number, 40))
    world = World(tmp_path, folders, serving)
    yield world
    world.close()


def test_a_kept_answer_is_what_would_be_said_now(world: World, until) -> None:
    chosen = settings(
        max_examples=1 + -(-STEPS // STORY),
        stateful_step_count=min(STEPS, STORY),
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if "SHRINK" in os.environ else [Phase.generate],
        print_blob=False,
    )
    asked: Counter[tuple[int, str]] = Counter()
    run_state_machine_as_test(seed(SEED)(lambda: Changes(world, until, asked)), settings=chosen)
    for place in KEEPING:
        assert all(asked[place, result] > 0 for result in ("hit", "miss", "changed")), asked
    assert asked[PLAIN, "hit"] == 0
