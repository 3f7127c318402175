"""A training as the page shows it while it runs, in a real browser."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from model.artifact.files import Artifact
from model.registry.keys import KeySpace
from model.registry.progress import (
    EVENT_FIELD,
    DataRead,
    EpochDone,
    ExpertName,
    ModelMade,
    RunBegan,
    RunEnded,
    StepBegan,
    TrainingEvent,
)
from service.api import training as route
from service.auth.keys import ApiKey

pytestmark = pytest.mark.timeout(180)
KEYS = KeySpace()
ROLES = ("dominant", "dominant", "balanced")


class Trainer:
    """Tells what a training would."""

    def __init__(self, client: redis.Redis, run_id: str = "a") -> None:
        self._client, self._run_id, self._number = client, run_id, 0

    def tell(self, kind: type[TrainingEvent], **fields: Any) -> None:
        self._number += 1
        now = datetime.now(UTC)
        event = kind(run_id=self._run_id, number=self._number, at=now, **fields)
        self._client.xadd(KEYS.training, {EVENT_FIELD: event.model_dump_json()})
        self._client.set(KEYS.training_alive, self._run_id, ex=60)

    def begin(self, what: str = "fit") -> None:
        self.tell(RunBegan, what=what)
        experts = [ExpertName(name=f"{role}_{n}", role=role) for n, role in enumerate(ROLES)]
        self.tell(DataRead, users=30, items=80, positives=400, experts=experts)
        self.tell(StepBegan, step="train")

    def epochs(self, numbers: range, stage: str = "encoders") -> None:
        for number in numbers:
            self.tell(
                EpochDone,
                stage=stage,
                everything=False,
                epoch=number,
                max_epochs=100,
                loss=7 - 0.1 * number,
                valid_ndcg20=0.1 + 0.002 * number,
                coverage_entropy=1 - 0.005 * number,
                pair_entropy=1 - 0.01 * number,
                expert_shares=[0.5, 0.3, 0.2],
                seconds=2.0,
                seconds_left=2.0 * (100 - number),
            )

    def model(self, version: str, epochs: int, *, early: bool = True) -> None:
        popular = 0.06 if early else None
        ndcg20 = 0.1 + 0.002 * epochs
        self.tell(
            ModelMade,
            model_version=version,
            epochs=epochs,
            valid_ndcg20=ndcg20,
            popular_ndcg20=popular,
            early=early,
        )

    def vanish(self) -> None:
        self._client.delete(KEYS.training_alive)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "LOOK_SECONDS", 0.05)


@pytest.fixture
def trainer(redis_url: str) -> Iterator[Trainer]:
    with redis.Redis.from_url(redis_url) as client:
        yield Trainer(client)


@pytest.fixture
def of_epochs(make_artifact) -> Callable[..., Artifact]:
    """A model that says how long it was trained, and how good that made it."""

    def make(version: str, seed: int, epochs: int, *, early: bool = True) -> Artifact:
        made = make_artifact(version, seed)
        training = made.manifest.training.model_copy(update={"early": early, "best_epoch": epochs})
        metrics = {"valid/ndcg@20": 0.1 + 0.002 * epochs}
        manifest = made.manifest.model_copy(update={"training": training, "metrics": metrics})
        return Artifact(manifest=manifest, tensors=made.tensors, files=made.files)

    return make


def watched(page: Page) -> None:
    """The tab with the training, by the button of the line above."""
    page.get_by_role("button", name="Watch").click()
    expect(page.get_by_role("heading", name="Training", exact=True)).to_be_focused()


def test_a_training_is_followed_epoch_by_epoch(open_page, trainer, viewport) -> None:
    page = open_page(viewport=viewport)
    expect(page.locator("#training-now")).to_be_hidden()
    trainer.begin()
    trainer.epochs(range(1, 4))
    line = page.locator("#training-now")
    expect(line).to_contain_text("trained: step 2 of 7, epoch 3, at most 3 minutes left.")
    watched(page)
    expect(page.get_by_role("img", name="Validation NDCG@20 over 3 epochs")).to_be_visible()
    expect(page.get_by_role("img", name="Loss over 3 epochs")).to_be_visible()
    expect(page.get_by_role("img", name="Routing entropies over 3 epochs")).to_be_visible()
    expect(page.get_by_role("img", name="Share of each expert over 3 epochs")).to_be_visible()
    stage = page.locator("#training-stages [aria-current=step]")
    expect(stage).to_have_text("Encoders")
    expect(page.locator("#training-text")).to_have_text(
        "The model is being trained: step 2 of 7, encoders, epoch 3, at most 3 minutes left. "
        "It stops as soon as nothing improves."
    )
    trainer.model("e1", 3)
    trainer.epochs(range(4, 8), "coverage")
    trainer.epochs(range(8, 10), "specialisation")
    expect(stage).to_have_text("Router: specialisation")
    chart = page.get_by_role("img", name="Validation NDCG@20 over 9 epochs")
    expect(chart).to_have_accessible_name(re.compile("most popular items 0.06; specialisation aft"))
    expect(page.locator("#training-ndcg")).to_have_text("0.1180 now, 0.1180 at best (epoch 9)")
    expect(page.locator("#training-popular")).to_have_text("0.0600")
    expect(page.get_by_role("row").filter(has_text="e1")).to_contain_text("0.1060")
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", "9")
    expect(page.locator("#said")).to_contain_text("Router: specialisation")
    assert Axe().run(page).violations_count == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    trainer.tell(StepBegan, step="export")
    expect(stage).to_have_text("Publish")
    trainer.tell(RunEnded, result="finished")
    expect(page.locator("#training-text")).to_contain_text("The training has finished")
    expect(page.locator("#training-now")).to_be_hidden()


def test_a_better_model_takes_over_under_the_visitors_eyes(
    open_page, trainer, redis_url, of_epochs, publish, service, until
) -> None:
    publish(redis_url, of_epochs("e0", 1, 0))
    until(lambda: service.get("/v1/model").json()["model_version"] == "e0")
    page = open_page("/#user=u001&k=8", reduced_motion="reduce")
    expect(page.locator("#version")).to_contain_text("model e0")
    trainer.begin()
    trainer.epochs(range(1, 15))
    expect(page.locator("#training-now")).to_contain_text("epoch 14")
    why = page.locator(".card").first.get_by_role("button", name="Why?")
    why.focus()
    before = page.locator(".card .name").all_text_contents()
    publish(redis_url, of_epochs("e14", 5, 14))
    toast = page.locator("#toast-text")
    expect(toast).to_contain_text(
        "A better model has just arrived: trained for 14 epochs. Training goes on."
    )
    expect(toast).to_contain_text(re.compile(r"\d+ of 8 items changed"))
    expect(page.locator("#said")).to_contain_text("A better model has just arrived")
    expect(page.locator("#version")).to_contain_text("model e14")
    assert page.locator(".card .name").all_text_contents() != before
    expect(page.locator(".card .mark").first).to_be_visible()
    trainer.tell(RunEnded, result="finished")
    expect(page.locator("#training-now")).to_be_hidden()
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("#model dd").first).to_contain_text("e14, early")
    publish(redis_url, of_epochs("f14", 6, 14, early=False))
    expect(toast).to_contain_text("A better model has just arrived: trained for 14 epochs.")
    expect(page.locator("#model dd").first).to_have_text("f14")
    publish(redis_url, of_epochs("old", 7, 3, early=False))
    expect(toast).to_contain_text("Another model has just arrived: trained for 3 epochs.")


def test_the_first_lists_come_by_themselves(
    open_page, trainer, redis_url, of_epochs, publish, serving, following
) -> None:
    trainer.begin()
    with redis.Redis.from_url(redis_url) as client:
        client.delete(KEYS.current)
    with serving(following()) as waiting:
        page = open_page(of=waiting, may_fail=("/v1/",))
        expect(page.locator("#notice")).to_contain_text("The first model is being trained")
        expect(page.locator("#training-now")).to_contain_text("The model is being trained")
        publish(redis_url, of_epochs("e0", 1, 0))
        expect(page.locator(".card")).to_have_count(12)
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.locator("#list-title")).to_have_text("Recommended for user u000")
        page.close()


def test_a_retraining_is_shown_and_one_that_was_killed_is_told(open_page, trainer) -> None:
    trainer.begin("retraining")
    trainer.epochs(range(1, 3))
    page = open_page()
    expect(page.locator("#training-now")).to_contain_text("The model is being trained again")
    watched(page)
    trainer.vanish()
    expect(page.locator("#training-text")).to_contain_text("has not been heard of since")
    expect(page.locator("#training-stages")).to_be_hidden()
    assert Axe().run(page).violations_count == 0
    trainer.tell(RunEnded, result="refused", reason="ndcg@20, live model: worse")
    expect(page.locator("#training-text")).to_contain_text(
        re.compile("its model was refused .*ndcg@20, live model: worse")
    )


def test_without_a_training_the_tab_says_what_would_be_there(open_page) -> None:
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("#training-text")).to_contain_text("No training has been told of")
    expect(page.locator("#training-course")).to_be_hidden()


def test_an_outage_is_told_and_what_was_missed_comes_after_it(
    open_page, trainer, redis_url, serving, following, until, proxy
) -> None:
    trainer.begin()
    trainer.epochs(range(1, 3))
    line = laid(proxy, int(redis_url.rpartition(":")[2]))
    with serving(following(line.url)) as client:
        until(client.ready)
        way = laid(proxy, client.base_url.port)
        page = open_page(of=_At(f"http://127.0.0.1:{way.port}/"), may_fail=("/v1/",))
        expect(page.locator("#training-now")).to_contain_text("epoch 2")
        watched(page)
        line.cut()
        text = page.locator("#training-text")
        expect(text).to_contain_text("cannot be followed at the moment: Redis at")
        trainer.epochs(range(3, 5))
        line.mend()
        expect(text).to_contain_text("epoch 4")
        way.cut()
        expect(text).to_contain_text("The service cannot be reached since")
        expect(page.get_by_role("img", name="Loss over 4 epochs")).to_be_visible()
        trainer.epochs(range(5, 7))
        way.mend()
        expect(page.get_by_role("img", name="Loss over 6 epochs")).to_be_visible()
        expect(text).to_contain_text("epoch 6")
        page.close()


def laid(proxy: Callable[..., Any], port: int) -> Any:
    """A line, made in another thread: the browser's event loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(proxy, port).result()


class _At:
    """Where a page is, for `open_page`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url


def test_it_is_followed_with_a_key_and_not_while_nobody_looks(
    open_page, trainer, serving, following, until, redis_url
) -> None:
    key, secret = ApiKey.new("reader", ["read"])
    trainer.begin()
    with serving(following(keys=key.line())) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        until(client.ready)
        page = open_page(of=client, key=secret)
        expect(page.locator("#training-now")).to_contain_text("The model is being trained")
        hide(page, hidden=True)
        trainer.epochs(range(1, 3))
        page.wait_for_timeout(500)
        expect(page.locator("#training-now")).not_to_contain_text("epoch")
        hide(page, hidden=False)
        expect(page.locator("#training-now")).to_contain_text("epoch 2")
        page.close()


def hide(page: Page, *, hidden: bool) -> None:
    """As if another tab were in front, or no longer."""
    value = "true" if hidden else "false"
    page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
