"""The page's tab about the model in a real browser."""

import json
import re
import time
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import service
from model.artifact.files import Artifact
from model.registry.canary import Canary
from model.registry.keys import KeySpace

pytestmark = pytest.mark.timeout(180)
TERMS = Path(service.__file__).parent / "web" / "terms.json"


def test_the_model_tab_draws_training_and_pins_a_version(open_page, service) -> None:
    page = open_page()
    page.get_by_role("tab", name="Recommendations").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name="Routing entropies over 7 epochs")).to_be_visible()
    expect(page.get_by_role("img", name="Share of each expert")).to_be_visible()
    page.get_by_role("button", name="Pin: v1", exact=True).click()
    expect(page.get_by_role("button", name="Unpin")).to_be_visible()
    assert service.get("/v1/models").json()["pinned"] == "v1"


def test_the_model_tab_rolls_back_and_shows_what_is_served_then(
    open_page, service, redis_url, valkey_server, make_artifact, publish, until
) -> None:
    publish(redis_url, make_artifact("v2", 2))
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v2": time.time()})
        redis.set(KeySpace().previous, "v1")
    until(lambda: service.get("/v1/model").json()["model_version"] == "v2")
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("button", name="Roll back and pin: v1", exact=True).click()
    expect(page.get_by_role("button", name="Unpin")).to_be_visible()
    until(lambda: service.get("/v1/model").json()["model_version"] == "v1")
    page.get_by_role("button", name="Reload").click()
    expect(page.locator("#model dd").first).to_have_text("v1")


def test_the_model_tab_shows_baselines_beside_the_model(
    open_page, service, redis_url, make_artifact, publish, until
) -> None:
    made = make_artifact("v2", 2)
    metrics = {
        "valid/ndcg@20": 0.2,
        "test/ndcg@20": 0.12345,
        "test/tail items/ndcg@20": 0.03,
        "baseline/popularity/test/ndcg@20": 0.06,
        "baseline/EASE/test/ndcg@20": 0.11,
        "baseline/EASE/test/tail items/ndcg@20": 0.02,
    }
    manifest = made.manifest.model_copy(update={"metrics": metrics})
    publish(redis_url, Artifact(manifest=manifest, tensors=made.tensors, files=made.files))
    until(lambda: service.get("/v1/model").json()["model_version"] == "v2")
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    table = page.get_by_role("region", name="Quality beside baselines")
    meaning = json.loads(TERMS.read_text())["Quality"]["NDCG"]
    expect(table.locator("summary")).to_have_attribute("title", meaning)
    table.locator("summary").click()
    expect(table.get_by_text(meaning)).to_be_visible()
    rows = table.locator("tbody")
    expect(rows).to_have_text(
        [
            re.compile("^validation part.*this model *0.2000$"),
            re.compile("^test.*this model *0.1235.*popularity *0.0600.*EASE *0.1100$"),
        ]
    )
    page.get_by_text("The same for groups of users and items").click()
    groups = page.get_by_role("region", name="Quality by group").locator("tbody")
    expect(groups).to_have_text(re.compile("^test, tail items.*this model *0.0300.*EASE *0.0200$"))
    assert Axe().run(page).violations_count == 0


def test_the_model_tab_tries_a_version_on_some_users_and_stops_that(
    open_page, service, redis_url, valkey_server, make_artifact, publish
) -> None:
    publish(redis_url, make_artifact("v2", 2), live=False)
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v2": time.time()})
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("button", name="Try on 5.0 %: v2").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="v2", exact=True))
    expect(row).to_contain_text("canary, 5.0 %")
    expect(page.get_by_text("Canary: v2, for 5.0 % of the users since")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    page.get_by_role("button", name="Stop canary").click()
    expect(page.get_by_text("It was stopped at")).to_be_visible()
    assert service.get("/v1/models").json()["canary"]["outcome"] == "stopped"


def test_the_model_tab_says_whether_the_canary_is_better(
    open_page, service, redis_url, valkey_server, make_artifact, publish
) -> None:
    publish(redis_url, make_artifact("v2", 2), live=False)
    counts = {"champion_version": "v1", "since_ms": 1767268800000}
    for variant, clicked in (("champion", 100), ("challenger", 200)):
        counts |= {f"{variant}:users": 1000, f"{variant}:users_clicked": clicked}
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v2": time.time()})
        assert service.post("/v1/models/v2:canary", json={"share": 0.5}).status_code == 200
        canary = Canary.parse(redis.get(KeySpace().canary))
        key, *_ = KeySpace().experiment(canary.version, canary.started_at)
        redis.hset(key, mapping=counts | {"share": canary.share})
    page = open_page("/#k=8")  # nobody's list, which does not count
    page.get_by_role("tab", name="Model").click()
    compared = page.get_by_role("region", name="Which is better")
    row = compared.get_by_role("row").filter(has_text="users who clicked")
    expect(row.get_by_role("cell")).to_have_text(["100 (10.0 %)", "200 (20.0 %)"])
    expect(page.get_by_text("The challenger is better: 20.0% of 1,000 users")).to_be_visible()
    told = "users who clicked: 10.00 percentage points; 95 % for one look: "
    expect(page.get_by_text(told)).to_be_visible()
    assert Axe().run(page).violations_count == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_of_a_model_is_read_and_clicked(
    open_page, service, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport)
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("button", name="Report: v1").click()
    expect(page.get_by_role("heading", name="What v1 has learnt")).to_be_focused()
    report = page.get_by_role("region", name="Report", exact=True)
    rows = report.get_by_role("region", name="By category of the item").get_by_role("row")
    expect(rows).to_have_count(6)  # the head, and five experts
    found = service.get("/v1/models/v1/report").json()["report"]
    weights = [f"{weight:.2f}" for weight in (row[0] for row in found["maps"][2]["weight"])]
    assert rows.nth(1).get_by_role("cell").all_inner_texts() == weights
    maps = report.locator("svg.map")
    expect(maps).to_have_count(3)
    expect(maps.first.locator("circle")).to_have_count(80)
    item = next(item for item in found["items"] if item["title"] == "Title 5")
    page.get_by_label("Find an item here").fill(item["title"])
    page.keyboard.press("Tab")
    dialog = page.get_by_role("dialog", name="Similar to Title 5")
    expect(dialog.get_by_role("row")).to_have_count(11)
    assert Axe().run(page).violations_count == 0
    page.keyboard.press("Escape")
    expect(maps.first.locator(".picked title")).to_have_text("Title 5")
    expect(maps.nth(2).locator(".like")).to_have_count(10)
    other = maps.nth(1).locator("circle").last
    title = other.locator("title").text_content()
    other.click(force=True)
    expect(page.get_by_role("dialog", name=f"Similar to {title}", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    shown = Axe().run(page)
    assert shown.violations_count == 0, shown.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="Close the report").click()
    expect(maps).to_have_count(0)
    expect(page.get_by_role("button", name="Report: v1")).to_be_focused()
