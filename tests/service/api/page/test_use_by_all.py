"""The page is for all: by keyboard, with a screen reader, in light and dark, on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)


def test_a_list_is_got_and_explained_by_the_keyboard_alone(open_page) -> None:
    page = open_page()
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    for _ in range(4):  # skip, the chosen view, the API, the user
        page.keyboard.press("Tab")
    expect(page.get_by_label("User")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("u003")
    expect(page.get_by_role("heading", name="For u003")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("link", name="Skip to the list")).to_be_focused()
    page.keyboard.press("Enter")
    why = page.get_by_role("button", name="Why?").first
    for _ in range(1 + page.locator(".card").first.locator(".link").count()):
        page.keyboard.press("Tab")
    expect(why).to_be_focused()
    assert "user=u003" in page.url
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(why).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(open_page, scheme: str, viewport: dict[str, int]) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport)
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".card")).to_have_count(12)
    found = [Axe().run(page)]
    page.get_by_role("button", name="Why?").first.click()
    expect(page.get_by_role("dialog").get_by_role("table").first).to_be_visible()
    found.append(Axe().run(page))
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("svg.chart").first).to_be_visible()
    found.append(Axe().run(page))
    assert [report.generate_report() for report in found if report.violations_count] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
