"""The page's dialog Why: first what everybody understands, then how the score adds up."""

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.timeout(180)


def shown(cell: Locator) -> float:
    return float(cell.inner_text().replace("\u2212", "-"))


def test_why_says_the_reason_and_the_history_and_keeps_the_numbers_for_the_curious(
    open_page, service
) -> None:
    page = open_page()
    reason = page.locator(".card .reason").first.inner_text()
    page.get_by_role("button", name="Why?").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".lead")).to_have_text(f"{reason}.")
    shown, *_ = service.recommend("u000", k=12)["items"]
    named = {each["item_id"]: each["title"] for each in shown["because"]}
    history = service.get(f"/v1/users/u000/explanations/{shown['item_id']}").json()["history"]
    others = [each["title"] for each in history if each["item_id"] not in named]
    evidence = dialog.get_by_role("region", name="Items of the history that count most")
    expect(evidence.locator("tbody th[scope=row]")).to_have_text([*named.values(), *others])
    expect(dialog).not_to_contain_text("expert", use_inner_text=True)
    open_all(page)
    expect(dialog).to_contain_text("Rank 1 of")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def open_all(page: Page) -> None:
    page.get_by_text("How the score adds up").click()
    page.get_by_text("Every expert, modality and view").click()


def test_the_parts_add_up_to_the_score_and_parts_of_nothing_are_left_out(
    open_page, service, trained
) -> None:
    page = open_page()
    page.get_by_role("button", name="Why?").first.click()
    open_all(page)
    dialog = page.get_by_role("dialog")
    item_id = page.locator(".card").first.get_attribute("data-item")
    found = service.get(f"/v1/users/u000/explanations/{item_id}").json()
    sums = dialog.get_by_role("region", name="The parts of the score")
    always, *groups = [
        [shown(cell) for cell in group.get_by_role("cell").all()]
        for group in sums.locator("tbody").all()
    ]
    assert len(groups) == 3
    for group in groups:  # experts, modalities, views: each adds up
        assert 0 not in group
        assert sum(always) + sum(group) == pytest.approx(found["score"], abs=0.006 * 12)
    heard = [expert for expert in found["experts"] if expert["weight"] > 0]
    experts = dialog.get_by_role("region", name="Experts").get_by_role("rowheader")
    expect(experts).to_have_count(len(heard))
    parts = dialog.get_by_role("region", name="Contribution by expert, modality and view")
    views, modalities = trained.manifest.views, trained.manifest.modalities
    expect(parts.locator("tbody")).to_have_count(len(heard) + 1)
    for group in parts.locator("tbody").all():
        expect(group.get_by_role("cell")).to_have_count((len(views) + 1) * (len(modalities) + 1))
    totals = [shown(group.get_by_role("cell").last) for group in parts.locator("tbody").all()]
    assert sum(totals[:-1]) == pytest.approx(totals[-1], abs=0.006 * len(totals))


def test_a_word_of_the_score_opens_its_meaning(open_page) -> None:
    page = open_page()
    page.get_by_role("button", name="Why?").first.click()
    open_all(page)
    meaning = page.get_by_text("How much an expert counts for this item")
    expect(meaning).to_be_hidden()
    word = page.get_by_role("dialog").locator("summary", has_text="weight").first
    word.focus()
    page.keyboard.press("Enter")
    expect(meaning).to_be_visible()
