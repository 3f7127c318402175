"""What a running stack must do: refuse, serve, be monitored, and survive losses.

Each check asks over HTTP; its name says what is promised.
"""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.rehearsal.client import CheckFailed, check, get, post, query, until
from tests.rehearsal.stack import Stack

_TRAINING_SECONDS = 1800.0
"""Many times what the sample takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is checked.

    Attributes:
        stack: all services but the dashboard's, up.
        user: one that the data know.
        keys: API keys by the name of their variable in `.env`.
        dashboard: the provisioned one.
    """

    stack: Stack
    user: str
    keys: dict[str, str]
    dashboard: Path

    @property
    def door(self) -> str:
        """Where the outside asks."""
        return f"http://{self.stack.containers['proxy'][0].address}:8080"

    @property
    def prometheus(self) -> str:
        """Where operators ask."""
        return f"http://{self.stack.containers['prometheus'][0].address}:9090"

    @property
    def recommendations(self) -> str:
        """What most requests are for."""
        return f"{self.door}/v1/users/{self.user}/recommendations?k=10"

    def recommend(self) -> dict[str, object]:
        """A good answer; CheckFailed if it is anything else."""
        answer = get(self.recommendations, self.keys["MAGNET_CLIENT_KEY"])
        check(f"200 instead of {answer.status}: {answer.text[:300]}", holds=answer.status == 200)
        body: dict[str, object] = answer.json()
        return body


def before_a_model_there_is_a_reason(subject: Subject) -> None:
    """Whoever comes too early is told so, by a replica or by the proxy in its place."""
    answer = get(subject.recommendations, subject.keys["MAGNET_CLIENT_KEY"])
    check(f"503 before training, not {answer.status}", holds=answer.status == 503)
    check("a problem document", holds=bool(answer.json()["detail"]))


def training_makes_it_ready(subject: Subject) -> None:
    """What the trainer does when it starts leads to explained answers."""
    trainer = subject.stack.containers["trainer"][0]
    key = subject.keys["MAGNET_CLIENT_KEY"]

    def ready() -> bool:
        if not trainer.is_running and trainer.wait() != 0:
            raise CheckFailed(f"the trainer failed:\n{trainer.log.read_text()[-2000:]}")
        return get(subject.recommendations, key).status == 200

    until("recommendations", ready, _TRAINING_SECONDS)
    items = subject.recommend()["items"]
    assert isinstance(items, list)
    check("ten items", holds=len(items) == 10)
    for item in items:
        total = item["bias"] + sum(expert["contribution"] for expert in item["experts"])
        check("contributions add up to the score", holds=abs(total - item["score"]) < 1e-5)


def feedback_is_taken(subject: Subject) -> None:
    """What a user does is kept for training, and not recommended to them again."""
    before = subject.recommend()["items"]
    assert isinstance(before, list)
    event = {
        "event_id": "rehearsed",
        "user_id": subject.user,
        "item_id": before[0]["item_id"],
        "type": "click",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    url, key = f"{subject.door}/v1/feedback", subject.keys["MAGNET_CLIENT_KEY"]
    for accepted in (1, 0):
        answer = post(url, {"events": [event]}, key)
        check(f"200, not {answer.status}: {answer.text[:300]}", holds=answer.status == 200)
        check("taken once", holds=answer.json()["accepted"] == accepted)
    after = subject.recommend()["items"]
    assert isinstance(after, list)
    check("not shown again", holds=event["item_id"] not in [item["item_id"] for item in after])


def retraining_is_told_of(subject: Subject) -> None:
    """Operators see what the trainer did, and its schedule goes on."""
    told = 'magnet_retrain_info{result="promoted"} == 1'
    replicas = len(subject.stack.containers["service"])
    until("the promotion is told", lambda: len(query(subject.prometheus, told)) == replicas)
    check("the schedule runs", holds=subject.stack.containers["trainer"][0].is_running)


def strangers_are_refused(subject: Subject) -> None:
    """No key, no answer; metrics are not for the outside, Redis for nobody without a password."""
    check("401 without a key", holds=get(subject.recommendations).status == 401)
    wrong = get(subject.recommendations, subject.keys["MAGNET_METRICS_KEY"])
    check("403 with the key of metrics", holds=wrong.status == 403)
    metrics = get(f"{subject.door}/metrics", subject.keys["MAGNET_METRICS_KEY"])
    check("no metrics at the door", holds=metrics.status == 404)
    replica = subject.stack.containers["service"][0].address
    check("no metrics without a key", holds=get(f"http://{replica}:8000/metrics").status == 401)


def replicas_share_the_work(subject: Subject) -> None:
    """Every replica is asked."""

    def asked() -> int:
        subject.recommend()
        served = 'magnet_requests_total{route="/v1/users/{user_id}/recommendations",status="200"}'
        return len(query(subject.prometheus, served))

    replicas = len(subject.stack.containers["service"])
    until("each replica has answered", lambda: asked() == replicas)


def everything_is_watched(subject: Subject) -> None:
    """All targets are up, rules are evaluated, no alert fires, and the dashboard has its series."""
    replicas = len(subject.stack.containers["service"])
    wanted = replicas + 2
    until("all targets are up", lambda: len(query(subject.prometheus, "up == 1")) == wanted)
    rules = get(f"{subject.prometheus}/api/v1/rules").json()["data"]["groups"]
    broken = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"]
    check(f"rules are evaluated, {broken} are not", holds=bool(rules) and not broken)
    ready = 'haproxy_backend_active_servers{proxy="replicas"}'
    until(
        "the proxy says that all replicas are ready",
        lambda: [one["value"][1] for one in query(subject.prometheus, ready)] == [str(replicas)],
    )
    firing = [
        one["metric"]["alertname"]
        for one in query(subject.prometheus, 'ALERTS{alertstate="firing"}')
    ]
    check(f"no alert fires, {firing} do", holds=not firing)
    panels = json.loads(subject.dashboard.read_text())["panels"]
    for panel in panels:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m")
            query(subject.prometheus, expression)


def a_lost_replica_is_not_noticed(subject: Subject) -> None:
    """A replica that is killed costs nobody an answer for longer than the proxy takes to see it."""
    replica = subject.stack.containers["service"][0]
    replica.stop(by=signal.SIGKILL)
    key = subject.keys["MAGNET_CLIENT_KEY"]
    until("answers after a loss", lambda: get(subject.recommendations, key).status == 200, 10)
    for _ in range(20):
        subject.recommend()
    subject.stack.restart("service", 0)


def a_replica_leaves_without_an_error(subject: Subject) -> None:
    """One that is asked to stop finishes what it has, and nobody is sent to it meanwhile."""
    ready = 'haproxy_backend_active_servers{proxy="replicas"}'
    until(
        "both replicas are ready",
        lambda: [one["value"][1] for one in query(subject.prometheus, ready)] == ["2"],
    )
    replica = subject.stack.containers["service"][1]
    asked = 0

    def gone() -> bool:
        nonlocal asked
        subject.recommend()
        asked += 1
        return not replica.is_running

    replica.ask_to_stop()
    until("it is gone", gone, subject.stack.grace_seconds("service") + 30)
    check("requests were answered meanwhile", holds=asked > 10)
    subject.stack.restart("service", 1)


def what_redis_was_told_outlives_it(subject: Subject) -> None:
    """While Redis is away answers go on; killed and started anew it has all that it had."""
    before = subject.recommend()
    redis = subject.stack.containers["redis"][0]
    redis.stop(by=signal.SIGKILL)
    subject.recommend()
    subject.stack.restart("redis", 0)
    for replica in range(len(subject.stack.containers["service"])):
        subject.stack.containers["service"][replica].stop()
        subject.stack.restart("service", replica)
    key = subject.keys["MAGNET_CLIENT_KEY"]
    until("recommendations", lambda: get(subject.recommendations, key).status == 200)
    after = subject.recommend()
    check("the same version", holds=before["model_version"] == after["model_version"])
    # Replicas keep models on disk, but users only in Redis.
    check(f"the user is known, not {after['fallback']}", holds=after["fallback"] is None)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    before_a_model_there_is_a_reason,
    training_makes_it_ready,
    feedback_is_taken,
    retraining_is_told_of,
    strangers_are_refused,
    replicas_share_the_work,
    everything_is_watched,
    a_lost_replica_is_not_noticed,
    a_replica_leaves_without_an_error,
    what_redis_was_told_outlives_it,
)
