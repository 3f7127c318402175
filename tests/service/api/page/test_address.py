"""The browser's buttons: views, users and comparisons are places to come back to."""

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(180)


def shown(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")


def test_back_and_forward_go_between_users_and_views(open_page) -> None:
    page = open_page()
    shown(page, "Recommended for user u000")
    page.get_by_label("User", exact=True).fill("u003")
    shown(page, "Recommended for user u003")
    page.get_by_role("tab", name="Model").click()
    shown(page, "The model that is served")
    assert "view=model" in page.url
    page.go_back()
    shown(page, "Recommended for user u003")
    expect(page.get_by_role("tab", name="Recommendations")).to_have_attribute(
        "aria-selected", "true"
    )
    page.go_back()
    shown(page, "Recommended for user u000")
    expect(page.get_by_label("User", exact=True)).to_have_value("u000")
    expect(page).to_have_title("Recommended for user u000 · MAGNET recommender")
    page.go_forward()
    shown(page, "Recommended for user u003")
    page.go_forward()
    shown(page, "The model that is served")
    page.reload()
    shown(page, "The model that is served")


def test_an_id_that_is_typed_slowly_is_one_place_and_so_are_other_inputs(open_page) -> None:
    page = open_page("/#user=u000&k=8")
    shown(page, "Recommended for user u000")
    entries = page.evaluate("history.length")
    field = page.get_by_label("User", exact=True)
    field.fill("")
    field.press_sequentially("u0", delay=1)
    shown(page, "Recommended for user u0")
    field.press_sequentially("07", delay=1)
    shown(page, "Recommended for user u007")
    field.blur()
    page.get_by_label("show how scores add up").check()
    expect(page.locator(".card .bar")).to_have_count(8)
    assert page.evaluate("history.length") == entries + 1
    page.go_back()
    shown(page, "Recommended for user u000")


def test_back_undoes_a_comparison_and_being_new_and_closes_a_dialog(open_page) -> None:
    page = open_page("/#user=u003&item=i004")
    shown(page, "Recommended for user u003, in this session")
    page.get_by_label("Compare with").select_option("the list without text")
    expect(page.locator(".compared")).to_be_visible()
    page.get_by_role("button", name="I'm new here").click()
    shown(page, "Recommended for you")
    page.get_by_role("button", name="What is known of you").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".compared")).to_be_visible()
    expect(page.get_by_role("button", name="Remove from session: Title 4")).to_be_visible()
    page.go_back()
    expect(page.locator("#comparison")).to_be_hidden()
    shown(page, "Recommended for user u003, in this session")
    expect(page.get_by_label("Compare with")).to_have_value("")
