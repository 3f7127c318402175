"""The page is for all: by keyboard, with a screen reader, in light and dark, on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

SMALL = {"width": 360, "height": 740}
NO_SCROLLING = "document.documentElement.scrollWidth <= window.innerWidth"

pytestmark = pytest.mark.timeout(180)


def test_a_list_is_got_and_explained_by_the_keyboard_alone(open_page) -> None:
    page = open_page()
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    for _ in range(4):  # skip, the chosen view, the API, the user
        page.keyboard.press("Tab")
    expect(page.get_by_label("User", exact=True)).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("u003")
    expect(page.get_by_role("heading", name="Recommended for user u003")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("link", name="Skip to the list")).to_be_focused()
    page.keyboard.press("Enter")
    why = page.get_by_role("button", name="Why?").first
    for _ in range(2 + page.locator(".card").first.locator(".link").count()):
        page.keyboard.press("Tab")
    expect(why).to_be_focused()
    assert "user=u003" in page.url
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(why).to_be_focused()


def test_a_browser_asks_again_for_each_file_and_gets_only_what_has_changed(service) -> None:
    for path in ("/", "/page/page.js", "/page/page.css", "/page/terms.json"):
        answer = service.get(path)
        assert answer.headers["Cache-Control"] == "no-cache"
        again = service.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (
            200 if path == "/" else 304,
            answer.content if path == "/" else b"",
        )


def test_titles_in_tables_are_words_on_a_phone(open_page) -> None:
    page = open_page(viewport=SMALL, has_touch=True)
    page.get_by_role("button", name="Similar").first.click()
    titles = page.get_by_role("dialog").locator("tbody .titled > span")
    expect(titles).to_have_count(10)
    widths = titles.evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    assert min(widths) >= 100


def test_all_filters_can_be_reached_on_a_low_screen(open_page) -> None:
    page = open_page(viewport={"width": 1280, "height": 480})
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    last = page.get_by_label("show how scores add up")
    page.locator("#ask").hover()
    page.mouse.wheel(0, 2000)
    expect(last).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(open_page, scheme: str, viewport: dict[str, int]) -> None:
    page = open_page(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_text("The call behind this list").click()
    assert page.evaluate(NO_SCROLLING)
    found = [Axe().run(page)]
    page.get_by_role("button", name="Why?").first.click()
    expect(page.get_by_role("dialog").get_by_role("table").first).to_be_visible()
    page.get_by_text("How the score adds up").click()
    page.get_by_text("Every expert, modality and view").click()
    found.append(Axe().run(page))
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("svg.chart").first).to_be_visible()
    found.append(Axe().run(page))
    assert [report.generate_report() for report in found if report.violations_count] == []
    assert page.evaluate(NO_SCROLLING)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_somebody_new_can_use_it_with_a_thumb(open_page, scheme: str) -> None:
    page = open_page(color_scheme=scheme, viewport=SMALL, has_touch=True, reduced_motion="reduce")
    page.get_by_role("button", name="I'm new here").click()
    page.locator("#offer button").first.click()
    expect(page.locator("#toast")).to_contain_text("of 12 items changed")
    page.get_by_text("Filters and order").click()
    expect(page.get_by_label("Category")).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert small_targets(page) == []
    assert page.evaluate(NO_SCROLLING)
    page.get_by_role("button", name="Close the message").click()
    page.get_by_role("button", name="Why?").first.click()
    page.get_by_text("How the score adds up").click()
    expect(page.get_by_role("region", name="The parts of the score")).to_be_visible()
    assert small_targets(page) == []
    assert page.evaluate(NO_SCROLLING)


def small_targets(page: Page) -> list[str]:
    """What is to be hit with a finger and is under 44 pixels; links in a text may be."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary, a")]
          .filter((node) => node.checkVisibility() && !node.matches(".link, .skip, .check input"))
          .filter((node) => { const { width, height } = node.getBoundingClientRect();
                              return width < 44 || height < 44; })
          .map((node) => node.outerHTML.slice(0, 120))"""
    )
    return found
