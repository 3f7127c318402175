"""Two lists side by side on the page: without a modality, by the canary, and of another user."""

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from model.registry.canary import Canary
from model.registry.keys import KeySpace

pytestmark = pytest.mark.timeout(180)
NO_SCROLLING = "document.documentElement.scrollWidth <= window.innerWidth"


def ids(page: Page, name: str) -> list[str | None]:
    rows = page.get_by_role("list", name=name).locator("li")
    return [row.get_attribute("data-item") for row in rows.all()]


def test_what_a_modality_does_to_the_list_is_seen_beside_it(open_page, service) -> None:
    page = open_page("/#user=u003")
    page.get_by_label("Compare with").select_option("the list without text")
    expect(page.get_by_role("heading", name="Without text")).to_be_visible()
    expect(page.locator("#cards")).to_be_hidden()
    asked = {"user_id": "u003", "k": 12}
    usual, other = (
        [item["item_id"] for item in answer.json()["items"]]
        for answer in (
            service.post("/v1/recommendations", json=asked),
            service.post("/v1/recommendations", json=asked | {"without_modalities": ["text"]}),
        )
    )
    assert ids(page, "With everything") == usual
    assert ids(page, "Without text") == other != usual
    moves = [usual.index(item) - place for place, item in enumerate(other) if item in usual]
    up, down = sum(move > 0 for move in moves), sum(move < 0 for move in moves)
    new, same = len(other) - len(moves), moves.count(0)
    told = f"{new} of 12 items {'is' if new == 1 else 'are'} new, "
    told += f"{up} moved up, {down} moved down, {same} stayed."
    expect(page.locator("#comparison > p")).to_have_text(f"Without text, {told}")
    expect(page.locator("#said")).to_have_text(f"Without text, {told}")
    expect(page.locator(".compared > svg path")).to_have_count(len(moves))
    full, without = (page.get_by_role("list", name=name) for name in ("everything", "Without"))
    expect(full.locator(".shift")).to_have_text(["gone"] * new)
    expect(without.locator(".shift", has_text="new")).to_have_count(new)


def test_an_item_of_the_other_list_is_explained_without_the_modality(open_page, service) -> None:
    page = open_page("/#user=u003&compare=without+behaviour&k=8")
    row = page.get_by_role("list", name="Without behaviour").locator("li").first
    row.get_by_role("button").focus()
    page.keyboard.press("Enter")
    title = row.get_by_role("button").inner_text()
    dialog = page.get_by_role("dialog", name=f"Why {title}, without behaviour?")
    dialog.get_by_text("How the score adds up").click()
    asked = {"user_id": "u003", "item_id": row.get_attribute("data-item")}
    asked |= {"without_modalities": ["behaviour"]}
    score = service.post("/v1/explain", json=asked).json()["score"]
    expect(dialog).to_contain_text(f"{score:.3f}".replace("-", "\u2212"))
    page.keyboard.press("Escape")
    page.get_by_text("The call behind this list").click()
    call = page.get_by_role("region", name="curl", exact=True)
    expect(call).to_contain_text('"without_modalities":["behaviour"]')
    page.get_by_label("Compare with").select_option("no other list")
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator("#comparison")).to_be_hidden()


def test_what_is_not_there_the_same_user_and_nobody_are_not_compared(
    open_page,
) -> None:
    for address in (
        "/#user=u003&compare=without+smell",
        "/#user=u003&compare=version",
        "/#user=u003&compare=user&other=u003",
        "/#compare=without+text&k=12",
    ):
        page = open_page(address)
        expect(page.locator(".card")).to_have_count(12)
        expect(page.locator("#comparison")).to_be_hidden()


def test_another_users_list_is_seen_beside_it_and_explained_for_them(open_page, service) -> None:
    page = open_page("/#user=u003")
    page.get_by_label("Compare with").select_option("another user's list")
    field = page.get_by_role("combobox", name="Other user")
    expect(field).to_be_focused()
    field.fill("u007")
    mine, theirs = "For user u003", "For user u007"
    expect(page.get_by_role("heading", name=theirs, exact=True)).to_be_visible()
    lists = {
        name: [
            item["item_id"]
            for item in service.post("/v1/recommendations", json={"user_id": user, "k": 12}).json()[
                "items"
            ]
        ]
        for name, user in ((mine, "u003"), (theirs, "u007"))
    }
    assert {name: ids(page, name) for name in lists} == lists
    both = set(lists[mine]) & set(lists[theirs])
    assert 0 < len(both) < 12
    told = f"{len(both)} of 12 items {'is' if len(both) == 1 else 'are'} in both lists."
    expect(page.locator("#comparison > p")).to_have_text(told)
    for name in lists:
        signs = page.get_by_role("list", name=name).locator(".shift")
        expect(signs).to_have_text(["both"] * len(both))
    row = page.get_by_role("list", name=theirs).locator("li").first
    row.get_by_role("button").click()
    title = row.get_by_role("button").inner_text()
    dialog = page.get_by_role("dialog", name=f"Why {title} for user u007?")
    asked = {"user_id": "u007", "item_id": lists[theirs][0]}
    found = service.post("/v1/explain", json=asked).json()
    expect(dialog.locator(".lead")).to_have_text(f"{found['reason']}.")
    page.reload()
    expect(page.get_by_role("heading", name=theirs, exact=True)).to_be_visible()


@pytest.fixture
def canary(redis_url, valkey_server, make_artifact, publish, service, until):
    """v2 is tried on half of the users beside v1."""
    publish(redis_url, make_artifact("v2", 2), live=False)
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v2": time.time()})
        assert service.post("/v1/models/v2:canary", json={"share": 0.5}).status_code == 200
        until(lambda: service.get("/v1/model").json()["challenger"] == "v2")
        return Canary.parse(redis.get(KeySpace().canary))


@pytest.mark.parametrize("is_taken", [False, True])
def test_the_list_of_the_other_version_is_seen_beside_that_of_the_users_own(
    open_page, service, canary, is_taken: bool
) -> None:
    users = (f"u{number:03d}" for number in range(29))
    user = next(each for each in users if canary.takes(each) is is_taken)
    headings = {"v1": "By the live model, v1", "v2": "By the canary, v2"}
    own, other = ("v2", "v1") if is_taken else ("v1", "v2")
    page = open_page(f"/#user={user}", may_fail=("/recommendations",))
    page.get_by_label("Compare with").select_option("the other version's list")
    expect(page.locator(".compared h3")).to_have_text([headings[own], headings[other]])
    for version, heading in headings.items():
        asked = {"user_id": user, "k": 12, "model_version": version}
        answer = service.post("/v1/recommendations", json=asked).json()
        assert ids(page, heading) == [item["item_id"] for item in answer["items"]]
    by = headings[other].split(",")[0]
    expect(page.locator("#comparison > p")).to_have_text(re.compile(f"{by}, "))
    row = page.get_by_role("list", name=headings[other]).locator("li").first
    row.get_by_role("button").click()
    title = row.get_by_role("button").inner_text()
    expect(
        page.get_by_role("dialog", name=f"Why {title}, {by[0].lower()}{by[1:]}?")
    ).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_text("The call behind this list").click()
    curl = page.get_by_role("region", name="curl", exact=True)
    expect(curl).to_contain_text(f'"model_version":"{other}"')
    assert service.post("/v1/models:stop-canary").status_code == 200
    page.get_by_label("show how scores add up").check()
    expect(page.locator(".card")).to_have_count(12)
    option = page.get_by_role("option", name="a canary's list: none is tried now")
    expect(option).to_be_disabled()


@pytest.mark.parametrize("compared", ["without+text", "user&other=u007"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_compare(
    open_page, scheme: str, viewport: dict[str, int], compared: str
) -> None:
    page = open_page(f"/#user=u003&compare={compared}", color_scheme=scheme, viewport=viewport)
    expect(page.locator(".compared li")).to_have_count(24)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate(NO_SCROLLING)
    assert page.locator(".compared li").first.bounding_box()["height"] >= 44
