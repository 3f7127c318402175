"""The lists of the page in a real browser: what people do there, and what they see."""

import base64
import json
import re
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from model.artifact.files import Artifact
from service.auth.keys import ApiKey

pytestmark = pytest.mark.timeout(180)


def first_title(page: Page) -> str:
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    return page.locator(".card h3").first.inner_text()


def test_the_first_user_is_shown_and_on_demand_bars_that_say_what_they_are(open_page) -> None:
    page = open_page()
    expect(page.get_by_role("heading", name="Recommended for user u000")).to_be_visible()
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator(".bar")).to_have_count(0)
    page.get_by_label("show how scores add up").check()
    expect(page.locator(".card .bar")).to_have_count(12)
    said = page.locator(".card .bar").first.get_attribute("aria-label")
    score, *terms = [
        float(x.replace("\u2212", "-")) for x in re.findall(r"[\u2212]?\d+\.\d+", said)
    ]
    assert sum(terms) == pytest.approx(score, abs=0.006 * (1 + len(terms)))


def test_the_legend_has_the_roles_of_the_model_and_no_others(
    open_page, service, redis_url, make_artifact, publish, until
) -> None:
    page = open_page("/#user=u000&scores=shown")
    legend = page.locator("#legend > span")
    expect(legend).to_have_text(
        ["dominant expert", "balanced", "complementary", "popularity or newness"]
    )
    assert service.recommend("u000", k=4)["model_version"] == "v1"
    publish(redis_url, without_complementary(make_artifact("v2", 0)))
    until(lambda: service.recommend("u000", k=4)["model_version"] == "v2")
    page.get_by_label("User", exact=True).fill("u001")
    expect(page.get_by_role("heading", name="Recommended for user u001")).to_be_visible()
    expect(legend).to_have_text(["dominant expert", "balanced", "popularity or newness"])


def test_without_bars_there_is_no_legend(open_page) -> None:
    page = open_page("/#k=8&scores=shown")
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator("#legend > span")).to_have_count(0)


def without_complementary(artifact: Artifact) -> Artifact:
    """As if the model had two modalities: its third role taken for the second."""
    experts = [
        expert.model_copy(update={"role": "balanced"}) if expert.role == "complementary" else expert
        for expert in artifact.manifest.experts
    ]
    manifest = artifact.manifest.model_copy(update={"experts": experts})
    return Artifact(manifest=manifest, tensors=artifact.tensors, files=artifact.files)


def test_another_user_gets_another_list_and_the_address_names_it(open_page, service) -> None:
    page = open_page()
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_label("User", exact=True).fill("u003")
    expect(page.get_by_role("heading", name="Recommended for user u003")).to_be_visible()
    expected = service.recommend("u003", k=12)["items"][0]["title"]
    expect(page.locator(".card h3").first).to_have_text(f"1 {expected}")
    again = open_page(page.url.removeprefix(str(service.base_url)))
    expect(again.get_by_role("heading", name="Recommended for user u003")).to_be_visible()


def test_a_session_is_built_by_finding_and_clicking_items(open_page, service) -> None:
    before = service.metric("magnet_fallbacks_total")
    page = open_page("/#k=8")
    expect(page.get_by_role("heading", name="Popular")).to_be_visible()
    expect(page.locator(".hint")).to_contain_text("popular items")
    expect(page.locator(".card")).to_have_count(8)
    assert service.metric("magnet_fallbacks_total") == before, "nobody was asked for"
    page.get_by_label("Add an item").fill("title 42")
    page.get_by_role("button", name="Title 42", exact=True).click()
    expect(page.get_by_role("heading", name="Recommended for this session")).to_be_visible()
    expected = service.post("/v1/recommendations", json={"session_items": ["i042"], "k": 8}).json()
    expect(page.locator(".card h3")).to_have_text(
        [f"{item['rank']} {item['title'] or item['item_id']}" for item in expected["items"]]
    )
    page.get_by_role("button", name="Remove from session: Title 42").click()
    expect(page.get_by_role("heading", name="Popular")).to_be_visible()


def test_an_empty_list_says_why_and_what_to_do(open_page, service) -> None:
    items = service.get("/v1/items?limit=1000").json()["items"]
    seen = [
        {
            "event_id": f"seen-{item['item_id']}",
            "user_id": "reader",
            "item_id": item["item_id"],
            "type": "view",
            "timestamp": "2026-01-01T12:00:00Z",
        }
        for item in items
    ]
    assert len(seen) <= 100, "as many events as count"
    service.post("/v1/feedback", json={"events": seen}).raise_for_status()
    page = open_page("/#user=reader&category=even")
    nothing = page.locator(".nothing")
    expect(nothing).to_contain_text("There is no item in even that user reader has not seen.")
    nothing.get_by_role("button", name="Show all categories").click()
    expect(nothing).to_contain_text("There is no item that user reader has not seen.")
    expect(nothing.get_by_role("button")).to_have_text(["Show what was seen too"])
    nothing.get_by_role("button", name="Show what was seen too").click()
    expect(page.locator(".card").first).to_be_visible()
    expect(nothing).to_have_count(0)
    expect(page.get_by_label("leave out what was seen")).not_to_be_checked()


def test_a_search_without_a_hit_says_so(open_page) -> None:
    page = open_page()
    page.get_by_label("Add an item").fill("no such title")
    expect(page.get_by_role("list", name="Items found")).to_have_text(
        "No title contains “no such title”."
    )


def test_similar_items_can_be_added_to_the_session(open_page, viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    page.get_by_role("button", name="Similar").first.click()
    add = page.get_by_role("dialog").get_by_role("button", name="Add to session").first
    expect(add).to_be_in_viewport(ratio=1)
    add.click()
    page.keyboard.press("Escape")
    expect(
        page.get_by_role("heading", name="Recommended for user u000, in this session")
    ).to_be_visible()


def test_feedback_takes_an_item_out_of_the_list_at_once(open_page) -> None:
    page = open_page()
    title = first_title(page).split(" ", 1)[1]
    page.get_by_role("button", name=f"Not for me: {title}", exact=True).click()
    expect(page.locator("#said")).to_contain_text("of 12 items changed")
    expect(page.locator(".card h3").first).not_to_have_text(f"1 {title}")
    expect(page.locator(".card")).to_have_count(12)


def test_filters_and_diversity_reach_the_service(open_page, service) -> None:
    page = open_page()
    page.get_by_label("Category").select_option("odd")
    page.get_by_label("Diversity").fill("0.8")
    expected = service.recommend("u000", k=12, category="odd", diversity=0.8)["items"]
    expect(page.locator(".card h3")).to_have_text(
        [f"{item['rank']} {item['title']}" for item in expected]
    )


def test_a_list_that_is_overtaken_or_cut_short_while_it_arrives_is_no_mistake_of_the_page(
    open_page,
) -> None:
    page = open_page()
    expect(page.locator(".card")).to_have_count(12)
    lists = "**/v1/recommendations"
    page.route(lists, lambda route: route.fulfill(body='{"items": ['))
    page.get_by_label("User", exact=True).fill("u002")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute(lists)
    page.evaluate(
        """() => {  // as fetch does to an answer that is overtaken while its body arrives
          Response.prototype.json = () => Promise.reject(new DOMException("", "AbortError"));
        }"""
    )
    with page.expect_response(lists):
        page.get_by_label("User", exact=True).fill("u003")
    page.reload()
    expect(page.get_by_role("heading", name="Recommended for user u003")).to_be_visible()


def test_a_key_is_asked_for_where_the_service_wants_one(
    browser, redis_url, trained, publish, serving, following
) -> None:
    publish(redis_url, trained)
    key, secret = ApiKey.new("page", ["read"])
    with serving(following(keys=key.line())) as client, browser.new_context() as context:
        page = context.new_page()
        page.goto(str(client.base_url))
        dialog = page.get_by_role("dialog", name="An API key is needed")
        expect(dialog).to_be_visible()
        dialog.get_by_label("Key").fill(secret)
        dialog.get_by_role("button", name="Use it").click()
        expect(page.locator(".card")).to_have_count(12)


def test_pictures_of_the_data_folder_are_on_the_cards(
    browser, redis_url, trained, publish, serving, following, until, tmp_path
) -> None:
    (tmp_path / "images").mkdir()
    dot = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="  # one pixel
    for row in range(trained.manifest.num_items):
        (tmp_path / "images" / f"i{row:03d}.gif").write_bytes(base64.b64decode(dot))
    publish(redis_url, trained)
    with serving(following(pictures_dir=tmp_path)) as client, browser.new_context() as context:
        until(client.ready)
        page = context.new_page()
        page.goto(str(client.base_url))
        expect(page.locator(".card img")).to_have_count(12)
        loaded = "pictures => pictures.every((one) => one.complete && one.naturalWidth === 1)"
        until(lambda: page.locator(".card img").evaluate_all(loaded))
        (tmp_path / "images" / f"{client.recommend('u000')['items'][0]['item_id']}.gif").unlink()
        page.reload()
        expect(page.locator(".card .cover")).to_have_count(1)


@pytest.mark.parametrize("name", ["curl", "Python"])
def test_the_call_behind_the_list_gets_the_same_list(open_page, name: str) -> None:
    page = open_page("/#user=u003&item=i004&item=i005&k=4&diversity=0.3&category=even&seen=shown")
    expect(page.locator(".card")).to_have_count(4)
    page.get_by_text("The call behind this list").click()
    text = page.get_by_role("region", name=name, exact=True).inner_text()
    shown = [card.get_attribute("data-item") for card in page.locator(".card").all()]
    command = ["bash", "-c", text] if name == "curl" else [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if name == "curl":
        got = [item["item_id"] for item in json.loads(done.stdout)["items"]]
    else:
        got = [line.split()[1] for line in done.stdout.splitlines()]
    assert got == shown


def test_a_title_or_an_id_cannot_break_out_of_the_call(open_page) -> None:
    page = open_page("/#user=it's%20$(id)%22&k=4")
    page.get_by_text("The call behind this list").click()
    text = page.get_by_role("region", name="curl", exact=True).inner_text()
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["user_id"] == "it's $(id)\""


def test_another_diversity_says_what_it_changes(open_page, service) -> None:
    page = open_page("/#user=u003", reduced_motion="reduce")
    expect(page.locator(".card")).to_have_count(12)

    def ranked(**params: float) -> list[str]:
        return [item["item_id"] for item in service.recommend("u003", k=12, **params)["items"]]

    page.get_by_label("Diversity").fill("0.8")
    expect(page.locator("#toast")).to_contain_text("Diversity 0.8: ")
    shown = [card.get_attribute("data-item") for card in page.locator(".card").all()]
    assert shown == ranked(diversity=0.8) != ranked()
    expect(page.locator(".mark", has_text="New")).to_have_count(len({*shown} - {*ranked()}))
