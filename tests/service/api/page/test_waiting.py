"""The page while the service is slow or away, and whose a heart is meanwhile."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def line(service, proxy):
    """Between the browser and the service."""
    return proxy(service.base_url.port)


@pytest.fixture
def page(open_page: Callable[..., Page], line) -> Page:
    """The page with the list of u001."""
    there = SimpleNamespace(base_url=f"http://127.0.0.1:{line.port}/")
    page = open_page("/#user=u001", of=there, reduced_motion="reduce")
    expect(page.get_by_role("heading", name="Recommended for user u001")).to_be_visible()
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    return page


def test_a_heart_is_of_the_user_whose_list_it_is_in(page: Page, line, service) -> None:
    line.delay_seconds = 3
    page.locator("#user").fill("u002")
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "true")
    with page.expect_request("**/v1/feedback") as sent:
        page.locator(".card").first.get_by_role("button", name="Like").click()
    (event,) = sent.value.post_data_json["events"]
    assert event["user_id"] == "u001"
    assert event["request_id"]
    line.delay_seconds = 0
    expect(page.locator("#toast-text")).to_contain_text("said for user u001")
    expect(page.get_by_role("heading", name="Recommended for user u002")).to_be_visible()
    expect(page.locator("#user")).to_have_value("u002")
    assert service.recommend("u001")["live_events"] == 1
    assert service.recommend("u002")["live_events"] == 0


def test_while_the_service_is_frozen_the_page_says_what_it_shows(page: Page, line) -> None:
    waiting = page.locator("#waiting")
    expect(waiting).to_be_hidden()
    line.delay_seconds = 4
    page.locator("#user").fill("u003")
    expect(waiting).to_have_text(
        "Waiting for the service: the list for user u003 is next. "
        "Below is still the list for user u001."
    )
    expect(page.get_by_role("heading", name="Recommended for user u001")).to_be_visible()
    line.delay_seconds = 0
    expect(page.get_by_role("heading", name="Recommended for user u003")).to_be_visible()
    expect(waiting).to_be_hidden()
    expect(page.locator("#notice")).to_be_hidden()


def test_whatever_takes_long_says_so(open_page, line, page: Page) -> None:
    waiting = page.locator("#waiting")
    line.delay_seconds = 4
    page.get_by_role("button", name="Why?").first.click()
    expect(waiting).to_have_text("Waiting for the service …")
    line.delay_seconds = 0
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(waiting).to_be_hidden()
    page.route("**/v1/categories", lambda route: None)  # never answered
    page.reload()
    expect(waiting).to_have_text("Waiting for the service …")


def test_without_suggestions_a_user_can_be_typed(page: Page) -> None:
    page.route("**/v1/users?prefix=*", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.locator("#user").fill("u004")
    expect(page.get_by_role("heading", name="Recommended for user u004")).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()


def test_what_a_service_answers_is_told_in_sentences(open_page) -> None:
    page = open_page("/#user=u001", may_fail=("/recommendations",))
    expect(page.get_by_role("heading", name="Recommended for user u001")).to_be_visible()
    problem = {"title": "Broken", "detail": "it broke"}
    page.route("**/v1/recommendations", lambda route: route.fulfill(status=500, json=problem))
    page.locator("#user").fill("u004")
    expect(page.locator("#notice")).to_have_text(
        "It broke. Below is still the list for user u001. Trying again."
    )


def test_a_service_that_comes_back_is_found_without_a_click(page: Page, line) -> None:
    notice = page.locator("#notice")
    line.cut()
    page.locator("#user").fill("u004")
    expect(notice).to_contain_text("Below is still the list for user u001. Trying again.")
    line.mend()
    expect(page.get_by_role("heading", name="Recommended for user u004")).to_be_visible()
    expect(notice).to_be_hidden()


def test_a_page_that_was_opened_too_early_fills_itself(open_page, line, page) -> None:
    line.cut()
    page.evaluate("location.hash = ''")
    line.mend()
    for path in ("**/v1/categories", "**/v1/users", "**/v1/recommendations", "**/v1/items?*"):
        page.route(path, lambda route: route.abort())
    page.reload()
    expect(page.locator("#notice")).to_contain_text("Trying again.")
    page.unroute_all()
    expect(page.locator("#category option")).not_to_have_count(1)
    expect(page.locator(".card").first).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()
