"""Any order of calls and faults, against what must be true: `expected.py`.

`make stateful STEPS=10000 SEED=1` takes as many steps as wanted. A fault is reported with the
shortest story that leads to it.
"""

import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from model.artifact.files import Artifact, write_artifact
from model.registry.canary import Canary
from service.recommend.resolution import STALE
from tests.service.api.stateful.expected import KINDS, Expected, Version
from tests.service.api.stateful.world import World

STEPS = int(os.environ.get("STEPS", "200"))
SEED = int(os.environ.get("SEED", "1"))
STORY = 60
"""Steps after which everything begins anew. The first story is Hypothesis's simplest: one call,
again and again."""
SETTLED_SECONDS = float(os.environ.get("PATIENCE", "60"))
"""A new item or version is on every replica within a second; this machine may be busy."""

SIZES = {"v1": 40, "v2": 40, "v3": 50, "v4": 30}
USERS = ["u000", "u001", "u002", "u003", "u004", "u029", "visitor", "guest"]
ITEMS = ["i000", "i003", "i012", "i027", "i039", "i045", "new1", "new2"]
REPLICAS = 2

users, items, places = st.sampled_from(USERS), st.sampled_from(ITEMS), st.integers(0, REPLICAS - 1)
versions = st.sampled_from(sorted(SIZES))
titles = st.sampled_from(["Amber", "Birch", "Cedar"])


def _version(artifact: Artifact) -> Version:
    tensors = artifact.tensors
    names = [f"i{row:03d}" for row in range(artifact.manifest.num_items)]
    seen, history = {}, {}
    for row, length in enumerate(tensors["history_lengths"].tolist()):
        start, stop = tensors["seen_offsets"][row : row + 2]
        rows = [names[item] for item in tensors["seen_items"][start:stop]]
        seen[f"u{row:03d}"], history[f"u{row:03d}"] = frozenset(rows), rows[:length]
    return Version(items=frozenset(names), seen=seen, history=history)


@pytest.fixture(scope="module")
def artifacts(make_artifact) -> dict[str, Artifact]:
    return {
        version: make_artifact(version, number, size)
        for number, (version, size) in enumerate(SIZES.items(), 1)
    }


@pytest.fixture
def world(artifacts, serving, tmp_path, monkeypatch) -> Iterator[World]:
    monkeypatch.setattr("service.app.ITEMS_SECONDS", 0.05)  # most of a story would be waiting
    folders = {version: tmp_path / version for version in artifacts}
    for version, folder in folders.items():
        folder.mkdir()
        write_artifact(folder, artifacts[version])
    world = World(tmp_path, folders, serving)
    yield world
    world.close()


class Product(RuleBasedStateMachine):
    """Two replicas and their store, beside what is expected of them."""

    def __init__(self, world: World, models: dict[str, Version], done: Counter[str]) -> None:
        super().__init__()
        self.world = world
        self.done = done
        """Steps, and calls by method and path, of all stories."""
        self.expected = Expected(models)
        self.numbers = itertools.count()
        self.calls: list[list[dict[str, Any]]] = []
        self.cold = dict.fromkeys(range(REPLICAS), False)
        """Replicas that began while the store was away."""

    @initialize()
    def begin(self) -> None:
        self.world.begin("v1", [{}] * REPLICAS)
        self.expected.published.append("v1")
        self.expected.live = "v1"
        self.settle()

    def teardown(self) -> None:
        self.world.end()

    # What people do

    @precondition(lambda self: self.world.runs)
    @rule(
        user=users,
        place=places,
        done=st.lists(st.tuples(st.sampled_from(KINDS), items), min_size=1, max_size=3),
    )
    def feedback(self, user: str, place: int, done: list[tuple[str, str]]) -> None:
        second = 10 + len(self.calls)
        events = [
            {
                "event_id": f"e{next(self.numbers)}",
                "user_id": user,
                "item_id": item,
                "type": kind,
                "timestamp": f"2026-01-01T{second // 60:02d}:{second % 60:02d}:{number:02d}Z",
            }
            for number, (kind, item) in enumerate(done)
        ]
        self.calls.append(events)
        receipt = self.ok("POST", "/v1/feedback", place, json={"events": events[::-1]})
        assert (receipt["accepted"], receipt["duplicates"]) == (len(events), 0)
        for event in events:
            self.expected.report(*(event[x] for x in ("event_id", "user_id", "type", "item_id")))

    @precondition(lambda self: self.world.runs and self.calls)
    @rule(which=st.integers(0, 1000), place=places)
    def feedback_once_more(self, which: int, place: int) -> None:
        events = self.calls[which % len(self.calls)]
        if events[0]["user_id"] in self.expected.erased:
            return  # whoever was erased comes back as a new user
        receipt = self.ok("POST", "/v1/feedback", place, json={"events": events})
        known = sum(event["event_id"] in self.expected.reported for event in events)
        assert (receipt["accepted"], receipt["duplicates"]) == (len(events) - known, known)
        for event in events:
            self.expected.report(*(event[x] for x in ("event_id", "user_id", "type", "item_id")))

    @precondition(lambda self: self.world.runs)
    @rule(user=users, place=places)
    def erase(self, user: str, place: int) -> None:
        self.ok("DELETE", f"/v1/users/{user}", place)
        self.expected.erase(user)
        for client in self.world.clients:
            assert client.get(f"/v1/users/{user}").status_code == 404
            assert user not in client.get(f"/v1/users?prefix={user}").json()["user_ids"]

    # What the shop does

    @precondition(lambda self: self.world.runs)
    @rule(item=items, place=places)
    def hide(self, item: str, place: int) -> None:
        self.ok("PUT", f"/v1/items/{item}/availability", place, json={"available": False})
        self.expected.hidden.add(item)

    @precondition(lambda self: self.world.runs)
    @rule(item=items, place=places)
    def show(self, item: str, place: int) -> None:
        path, body = f"/v1/items/{item}/availability", {"available": True}
        if item in self.expected.retired:
            assert self.call("PUT", path, place, json=body).status_code == 404
        else:
            self.ok("PUT", path, place, json=body)
            self.expected.hidden.discard(item)

    @precondition(lambda self: self.world.runs)
    @rule(item=items, title=titles, available=st.sampled_from([None, True, False]), place=places)
    def put(self, item: str, title: str, available: bool | None, place: int) -> None:
        body = {"title": title, "categories": ["even"], "available": available}
        self.ok("PUT", f"/v1/items/{item}", place, json=body)
        if available or (available is None and item in self.expected.retired):
            self.expected.hidden.discard(item)
        elif available is False:
            self.expected.hidden.add(item)
        self.expected.retired.discard(item)
        self.expected.titles[item] = title
        self.settle()

    @precondition(lambda self: self.world.runs)
    @rule(item=items, title=titles, available=st.sampled_from([None, True, False]), place=places)
    def patch(self, item: str, title: str, available: bool | None, place: int) -> None:
        body = {"title": title} if available is None else {"title": title, "available": available}
        answer = self.call("PATCH", f"/v1/items/{item}", place, json=body)
        known = self.expected.items_of(self.expected.live) - self.expected.retired
        assert answer.status_code == (200 if item in known else 404), answer.text
        if item in known:
            self.expected.titles[item] = title
            if available is not None:
                (self.expected.hidden.discard if available else self.expected.hidden.add)(item)
            self.settle()

    @precondition(lambda self: self.world.runs)
    @rule(item=items, place=places)
    def delete(self, item: str, place: int) -> None:
        answer = self.call("DELETE", f"/v1/items/{item}", place)
        known = self.expected.items_of(self.expected.live)
        assert answer.status_code == (200 if item in known else 404), answer.text
        if item in known:
            self.expected.retired.add(item)
            self.settle()

    # What operators do

    @precondition(lambda self: self.world.runs)
    @rule(version=versions)
    def publish(self, version: str) -> None:
        self.world.publish(version)
        expected = self.expected
        if version not in expected.published:
            expected.published.append(version)
        if version != expected.live and expected.pinned in (None, version):
            expected.go_live(version, pinned=expected.pinned)
        self.settle()

    @precondition(lambda self: self.world.runs)
    @rule(version=versions, pin=st.booleans(), place=places)
    def activate(self, version: str, pin: bool, place: int) -> None:
        answer = self.call("POST", f"/v1/models/{version}:activate", place, json={"pin": pin})
        known = version in self.expected.published
        assert answer.status_code == (200 if known else 404), answer.text
        if known:
            self.expected.go_live(version, pinned=version if pin else None)
            self.settle()

    @precondition(lambda self: self.world.runs)
    @rule(place=places)
    def unpin(self, place: int) -> None:
        self.ok("POST", "/v1/models:unpin", place)
        self.expected.pinned = None

    @precondition(lambda self: self.world.runs)
    @rule(version=versions, share=st.sampled_from([0.1, 0.3, 0.5]), place=places)
    def canary(self, version: str, share: float, place: int) -> None:
        expected = self.expected
        path = f"/v1/models/{version}:canary"
        answer = self.call("POST", path, place, json={"share": share})
        if version not in expected.published:
            assert answer.status_code == 404
            return
        running = None if expected.canary is None else expected.canary.version
        if version == expected.live or expected.pinned or running not in (None, version):
            assert answer.status_code == 409
            return
        assert answer.status_code == 200
        started = answer.json()["canary"]["started_at"]
        expected.canary = Canary(version=version, share=share, started_at=started)
        self.settle()

    @precondition(lambda self: self.world.runs)
    @rule(place=places)
    def stop_canary(self, place: int) -> None:
        self.ok("POST", "/v1/models:stop-canary", place)
        self.expected.canary = None
        self.settle()

    @rule(place=places)
    def restart_replica(self, place: int) -> None:
        self.done["restart"] += 1
        self.world.start_replica(place)
        self.cold[place] = not self.world.runs
        self.settle()

    # What happens to them

    @precondition(lambda self: self.world.runs)
    @rule()
    def kill_store(self) -> None:
        self.done["kill"] += 1
        self.world.kill_store()

    @precondition(lambda self: not self.world.runs)
    @rule()
    def start_store(self) -> None:
        self.world.start_store()
        self.settle()

    @precondition(lambda self: not self.world.runs)
    @rule(user=users, item=items, place=places)
    def write_without_store(self, user: str, item: str, place: int) -> None:
        event = {
            "event_id": f"e{next(self.numbers)}",
            "user_id": user,
            "item_id": item,
            "type": "click",
            "timestamp": "2026-01-01T12:00:00Z",
        }
        for method, path, body in [
            ("POST", "/v1/feedback", {"events": [event]}),
            ("PUT", f"/v1/items/{item}/availability", {"available": False}),
            ("PUT", f"/v1/items/{item}", {"title": "x"}),
            ("DELETE", f"/v1/items/{item}", None),
            ("DELETE", f"/v1/users/{user}", None),
            ("POST", "/v1/models/v1:activate", {"pin": True}),
            ("POST", "/v1/models:stop-canary", None),
        ]:  # fmt: skip
            answer = self.call(method, path, place, json=body)
            assert answer.status_code == 503, f"{method} {path}: {answer.text}"
            assert int(answer.headers["retry-after"]) > 0

    # What must be true

    @rule(user=users, item=items, place=places)
    def read(self, user: str, item: str, place: int) -> None:
        """Whatever can be read is answered, and shows nothing that must not be shown."""
        expected, client = self.expected, self.world.clients[place]
        shown = {}
        for path in [
            f"/v1/items/{item}/similar?k=100",
            f"/v1/items/{item}",
            f"/v1/users/{user}",
            f"/v1/users/{user}/explanations/{item}",
            f"/v1/users?prefix={user}",
            "/v1/categories",
            "/v1/model",
            "/v1/models",
            "/v1/experiments/current",
            "/readyz",
            "/livez",
            "/metrics",
        ]:
            answer = client.get(path)
            away = not self.world.runs and answer.status_code == 503
            assert away or answer.status_code < 500, f"{path}: {answer.text}"
            if answer.status_code == 200 and path.startswith("/v1/"):
                shown[path.partition("?")[0]] = answer.json()
        if not self.world.runs:
            return
        gone = expected.hidden | expected.retired
        catalogue = self.check_catalogue(client)
        assert (f"/v1/items/{item}" in shown) == (item in catalogue)
        if item in catalogue:
            near = shown[f"/v1/items/{item}/similar"]["items"]
            assert {x["item_id"] for x in near} == catalogue - gone - {item}
        known = expected.in_model(user) or bool(expected.events.get(user))
        assert (f"/v1/users/{user}" in shown) == known
        if known:
            detail = shown[f"/v1/users/{user}"]
            assert detail["in_model"] == expected.in_model(user)
            assert {x["item_id"] for x in detail["history"]} == expected.history(user)
            done = [(x["type"], x["item_id"]) for x in detail["events"]]
            assert done == expected.events.get(user, [])[::-1]
        state = shown["/v1/models"]
        assert (state["live"], state["pinned"]) == (expected.live, expected.pinned)
        assert {x["model_version"] for x in state["models"]} == {*expected.published}

    def check_catalogue(self, client: Any) -> set[str]:
        """All items of the live version can be found, under their present titles."""
        expected = self.expected
        found = client.get("/v1/items?limit=1000").json()["items"]
        gone = expected.hidden | expected.retired
        for each in found:
            assert each["available"] == (each["item_id"] not in gone)
            if each["item_id"] in expected.titles.keys() - expected.retired:
                assert each["title"] == expected.titles[each["item_id"]]
        catalogue = expected.items_of(expected.live)
        assert {each["item_id"] for each in found} == catalogue
        return catalogue

    @invariant()
    def lists_are_right(self) -> None:
        """After every step, for every user in turn, on every replica."""
        if self.world.clients:
            self.done["steps"] += 1
            user = USERS[next(self.numbers) % len(USERS)]
            answers = [self.check_list(user, place) for place in range(REPLICAS)]
            if self.world.runs:
                one, other = ({x["item_id"]: x["score"] for x in answer} for answer in answers)
                assert one == pytest.approx(other, abs=1e-5)

    def check_list(self, user: str, place: int) -> list[dict[str, Any]]:
        """A list as long as the catalogue, taken apart."""
        expected = self.expected
        body = {"user_id": user, "k": 200}
        answer = self.world.clients[place].post("/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        listed: list[dict[str, Any]] = found["items"]
        ids = {item["item_id"] for item in listed}
        for item in listed:
            parts = sum(each["contribution"] for each in item["experts"] or [])
            points = sum(each["points"] for each in item["adjustments"])
            if item["source"] != "popular":
                assert item["score"] == pytest.approx(item["bias"] + parts + points, abs=1e-5)
        assert (STALE in found["warnings"]) == (not self.world.runs)
        if not self.world.runs:
            assert self.cold[place] or not ids & (expected.hidden | expected.retired)
            return listed
        version = expected.version_of(user)
        assert found["model_version"] == version
        assert ids == expected.list_of(user), f"{user} of {version}"
        scored = found["fallback"] is None
        assert found["live_events"] == expected.live_events(user, scored=scored)
        assert scored or not expected.history(user)
        assert expected.in_model(user) or scored == bool(expected.history(user))
        for item in listed:
            assert {x["item_id"] for x in item["because"]} <= expected.history(user)
        return listed

    def settle(self) -> None:
        """Wait until every replica has what reaches it by itself: items and versions."""
        deadline = time.monotonic() + SETTLED_SECONDS
        for place, client in enumerate(self.world.clients):
            while True:
                try:
                    ready = client.get("/readyz")
                    assert ready.status_code == 200, ready.text
                    if self.world.runs:
                        assert client.warnings() == ""
                        self.cold[place] = False
                        for user in self.one_of_each_version():
                            self.check_list(user, place)
                        self.check_catalogue(client)
                    break
                except AssertionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def one_of_each_version(self) -> list[str]:
        """A user that the live model serves, and one that the canary serves."""
        return list({self.expected.version_of(user): user for user in USERS}.values())

    def call(self, method: str, path: str, place: int, **more: Any) -> Any:
        what = path.rpartition(":")[2] if ":" in path else path.split("/")[2]
        self.done[f"{method} {what}"] += 1
        return self.world.clients[place].request(method, path, **more)

    def ok(self, method: str, path: str, place: int, **more: Any) -> Any:
        answer = self.call(method, path, place, **more)
        assert answer.status_code in (200, 201, 202), f"{method} {path}: {answer.text}"
        return answer.json()


def test_no_order_of_calls_and_faults_breaks_a_promise(world: World, artifacts) -> None:
    models = {version: _version(artifact) for version, artifact in artifacts.items()}
    done: Counter[str] = Counter()
    for number in itertools.count():
        if (left := STEPS - done["steps"]) <= 0:
            break
        stories = seed(SEED + 1000 * number)(lambda: Product(world, models, done))
        run_state_machine_as_test(stories, settings=_settings(left))
    sys.stdout.writelines(f"{count:6} {what}\n" for what, count in done.most_common())


def _settings(steps: int) -> settings:
    """Of about so many steps: some stories end early."""
    return settings(
        max_examples=1 + -(-steps // STORY),
        stateful_step_count=min(steps, STORY),
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if "SHRINK" in os.environ else [Phase.generate],
        print_blob=False,
    )
