"""What a visitor says of items on the page, and what becomes of the list at once."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from service.auth.keys import ApiKey
from service.ops.settings import Settings

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def service(valkey_server, make_artifact, publish, serving, until):
    """One for all tests here: each visitor is another user."""
    with valkey_server.client() as redis:
        redis.flushall()
    url = valkey_server.connection_url
    publish(url, make_artifact("v1", 0))
    settings = Settings(redis_url=url, poll_seconds=0.05)
    with serving(settings) as client:
        until(client.ready)
        yield client


@pytest.fixture
def visitor(open_page: Callable[..., Page]) -> Page:
    """The page of somebody new who reads the list, before they say anything."""
    page = open_page(reduced_motion="reduce")
    page.get_by_role("button", name="I'm new here").click()
    expect(page.get_by_role("heading", name="Recommended for you")).to_be_focused()
    expect(offered(page)).to_have_count(12)
    return page


def offered(page: Page) -> Locator:
    return page.get_by_role("list", name="Items to pick from").get_by_role("button")


def titles(page: Page) -> list[str]:
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    return page.locator(".card h3 .name").all_inner_texts()


def toast(page: Page) -> Locator:
    return page.locator("#toast")


def test_three_hearts_of_somebody_new_move_the_list_and_say_so(visitor: Page, service) -> None:
    popular = titles(visitor)
    expect(visitor.locator(".hint")).to_contain_text("You are new here")
    expect(visitor.locator("#picked")).to_contain_text("0 of 3 picked")
    for place in range(3):
        offered(visitor).nth(place).click()
        expect(offered(visitor).nth(place)).to_have_attribute("aria-pressed", "true")
        expect(toast(visitor)).to_contain_text("of 12 items changed")
        toast(visitor).get_by_role("button", name="Close the message").click()
    expect(visitor.locator("#picked")).to_contain_text("3 picked")
    expect(visitor.locator("#counted")).to_contain_text("3 choices")
    expect(visitor.locator(".hint, .warning")).to_have_count(0)
    now = titles(visitor)
    answer = service.recommend(visitor.get_by_label("User", exact=True).input_value(), k=12)
    assert now == [item["title"] for item in answer["items"]]
    assert answer["items"][0]["source"] == "live"
    assert len(set(now) - set(popular)) >= 3
    new = visitor.locator(".card").filter(has=visitor.get_by_text("new", exact=True))
    said = visitor.locator("#said").inner_text()
    assert f"{new.count()} of 12 items changed" in said


def test_the_marks_say_what_is_new_and_how_far_others_rose(visitor: Page) -> None:
    before = titles(visitor)
    visitor.locator("#cards").get_by_role("button", name="Like: ").first.click()
    expect(toast(visitor)).to_contain_text(f"Liked {before[0]}.")
    before = before[1:]
    expected = []
    for place, title in enumerate(titles(visitor)):
        rise = before.index(title) - place if title in before else None
        expected += ["new"] if rise is None else [f"moved up {rise}"] if rise > 0 else []
    assert "new" in expected
    expect(visitor.locator(".card .mark")).to_have_text(expected)


def test_undo_restores_the_list_by_the_keyboard_alone(visitor: Page) -> None:
    before = titles(visitor)
    visitor.locator("#cards").get_by_role("button", name="Like: ").nth(2).focus()
    visitor.keyboard.press("Enter")
    expect(toast(visitor)).to_contain_text("Liked")
    expect(visitor.get_by_role("heading", name="Recommended for you")).to_be_focused()
    assert titles(visitor) != before
    visitor.keyboard.press("Tab")
    expect(toast(visitor).get_by_role("button", name="Undo")).to_be_focused()
    visitor.keyboard.press("Enter")
    expect(toast(visitor)).to_contain_text("Undone")
    assert titles(visitor) == before
    expect(toast(visitor).get_by_role("button", name="Undo")).to_be_hidden()


def test_a_dislike_takes_like_items_down_and_they_say_so(visitor: Page) -> None:
    for place in range(3):
        offered(visitor).nth(place).click()
        expect(visitor.locator("#picked")).to_contain_text(f"{place + 1} ")
    expect(visitor.locator("#counted")).to_contain_text("3 choices")
    turned_down = titles(visitor)[0]
    visitor.get_by_role("button", name=f"Not for me: {turned_down}", exact=True).click()
    expect(visitor.get_by_text(f"Pushed down: like {turned_down}").first).to_be_visible()
    assert turned_down not in titles(visitor)
    said = visitor.get_by_role("group", name="What you said")
    said.get_by_role("button", name=f"Undo: {turned_down}", exact=True).click()
    expect(toast(visitor)).to_contain_text(f"Undone: {turned_down}")
    expect(visitor.get_by_text("Pushed down")).to_have_count(0)
    assert titles(visitor)[0] == turned_down


def test_a_heart_on_the_popular_list_makes_nobody_a_visitor_who_stays_one(open_page) -> None:
    page = open_page("/#k=8")
    liked = titles(page)[0]
    page.get_by_role("button", name=f"Like: {liked}", exact=True).click()
    expect(page.get_by_role("heading", name="Recommended for you")).to_be_visible()
    picked = offered(page).filter(has_text=liked)
    expect(picked).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.get_by_role("heading", name="Recommended for you")).to_be_visible()
    expect(picked).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#counted")).to_contain_text("1 choice made")
    page.get_by_role("button", name="Start over").click()
    expect(picked).to_have_attribute("aria-pressed", "false")


def test_what_is_known_of_a_visitor_is_what_they_said(visitor: Page) -> None:
    visitor.get_by_role("button", name="What is known of you").click()
    dialog = visitor.get_by_role("dialog", name="What is known of you")
    expect(dialog).to_contain_text("Nothing yet.")
    visitor.keyboard.press("Escape")
    offered(visitor).nth(4).click()
    expect(toast(visitor)).to_contain_text("Liked")
    liked = offered(visitor).nth(4).locator("span").inner_text()
    visitor.get_by_role("button", name="What is known of you").click()
    expect(dialog.get_by_role("listitem")).to_have_text(f"{liked}, since the model was trained")
    expect(dialog.get_by_role("region", name="Categories of these items")).to_be_visible()


def test_where_a_key_may_not_send_feedback_hearts_say_so_and_nothing_breaks(
    open_page, valkey_server, make_artifact, publish, serving, until
) -> None:
    url = valkey_server.connection_url
    publish(url, make_artifact("v1", 0), namespace="guarded")
    key, secret = ApiKey.new("page", ["read"])
    settings = Settings(redis_url=url, namespace="guarded", keys=key.line(), poll_seconds=0.05)
    with serving(settings) as client:
        until(client.ready)
        page = open_page("/#k=8", of=client, key=secret)
        hearts_explain(page, "no right to send feedback")
        page.close()  # a service that is not told to stop waits for those who follow a training


def test_where_no_feedback_is_kept_hearts_say_so_and_nothing_breaks(open_page, disk_client) -> None:
    page = open_page("/#k=8", of=disk_client, may_fail=("/training/events",))
    hearts_explain(page, "serves a folder")


def hearts_explain(page: Page, words: str) -> None:
    before = titles(page)
    heart = page.get_by_role("button", name="Like: ").first
    heart.click()
    expect(toast(page)).to_contain_text(words)
    expect(heart).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert titles(page) == before
