"""The cards of the page: what a shopper reads there."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)


def test_a_card_says_first_what_a_shopper_would_and_links_who_is_named(open_page, service) -> None:
    answer = service.recommend("u000", k=12)["items"]
    page = open_page()
    cards = page.locator(".card")
    expect(cards.locator(".reason")).to_have_text([item["reasons"][0] for item in answer])
    assert "expert" not in page.locator("#cards").inner_html()
    assert not any("%" in text for text in cards.all_inner_texts())
    place, item = next((place, item) for place, item in enumerate(answer) if item["because"])
    links = cards.nth(place).locator(".link")
    titles = [named["title"] for named in item["because"]]
    expect(links).to_have_text([title for title in titles if title in item["reasons"][0]])
    expect(links).not_to_have_count(0)
    links.first.click()
    expect(page.get_by_role("dialog", name=f"Why {item['because'][0]['title']}?")).to_be_visible()


def test_titles_are_as_people_say_them_and_years_are_apart(open_page, service) -> None:
    first, second, *_ = service.recommend("u000", k=12)["items"]
    for item, title in ((first, "Fugitive, The (1993)"), (second, "42nd Street (1933)")):
        assert service.patch(f"/v1/items/{item['item_id']}", json={"title": title}).is_success
    page = open_page()
    expect(page.locator(".card h3").first).to_have_text("1 The Fugitive")
    expect(page.locator(".card").first).to_contain_text("1993 ·")
    expect(page.locator(".card h3").nth(1)).to_have_text("2 42nd Street")
    spoken = page.evaluate(
        "titles => import('/page/titles.js').then(({ spoken }) => titles.map(spoken))",
        [
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            "Avventura, L' (1960)",
            "Godfather: Part II, The (1974)",
            "Crouching Tiger, Hidden Dragon",
            "(1984)",
            "Tea, An (1 kg)",
        ],
    )
    assert spoken == [
        "The City of Lost Children (La Cité des enfants perdus)",
        "L'Avventura",
        "The Godfather: Part II",
        "Crouching Tiger, Hidden Dragon",
        "(1984)",
        "An Tea (1 kg)",
    ]
    said = page.evaluate(
        "([text, items]) => import('/page/titles.js').then(({ said }) => said(text, items))",
        [
            "Because you liked The Fugitive (1993) and Alien (1979)",
            [{"title": title} for title in ("Fugitive, The (1993)", "Alien (1979)")],
        ],
    )
    assert said == "Because you liked The Fugitive and Alien"


def test_a_year_of_the_catalogue_stands_before_that_of_the_title(open_page, service) -> None:
    first, second, *_ = service.recommend("u000", k=12)["items"]
    for item, year in ((first, 1995), (second, None)):
        change = {"title": "Heat (1972)", "attributes": {"year": year}}
        assert service.patch(f"/v1/items/{item['item_id']}", json=change).is_success
    page = open_page()
    expect(page.locator(".card").nth(0)).to_contain_text("1995 ·")
    expect(page.locator(".card").nth(1)).to_contain_text("1972 ·")


def test_an_item_without_a_picture_has_a_cover_always_the_same_one(open_page) -> None:
    page = open_page()
    covers = page.locator(".card svg.cover")
    expect(covers).to_have_count(12)
    expect(page.locator(".card .cover:not([aria-hidden=true])")).to_have_count(0)
    drawn = [cover.evaluate("node => node.outerHTML") for cover in covers.all()]
    assert len(set(drawn)) == 12
    page.reload()
    expect(covers).to_have_count(12)
    assert [cover.evaluate("node => node.outerHTML") for cover in covers.all()] == drawn
