"""Two lists side by side on the page: with everything, and without a modality."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

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
    page = open_page("/#user=u003&without=behaviour&k=8")
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


def test_a_modality_that_the_model_has_not_and_a_list_for_nobody_are_not_compared(
    open_page,
) -> None:
    for address in ("/#user=u003&without=smell", "/#without=text&k=12"):
        page = open_page(address)
        expect(page.locator(".card")).to_have_count(12)
        expect(page.locator("#comparison")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_compare(open_page, scheme: str, viewport: dict[str, int]) -> None:
    page = open_page("/#user=u003&without=text", color_scheme=scheme, viewport=viewport)
    expect(page.locator(".compared li")).to_have_count(24)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate(NO_SCROLLING)
    assert page.locator(".compared li").first.bounding_box()["height"] >= 44
