"""The page in a real browser: what people do there, what they see, and that all can use it."""

import base64
import re
import time
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from model.contract.artifact import Artifact
from model.contract.keys import KeySpace
from model.contract.manifest import EpochRecord
from service.api_keys import ApiKey

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def trained(make_artifact) -> Artifact:
    """A model with a training history to draw."""
    artifact = make_artifact("v1", 0)
    history = [
        EpochRecord(
            epoch=epoch,
            stage="coverage" if epoch < 4 else "specialisation",
            loss=3.0 / epoch,
            valid_ndcg20=0.1,
            coverage_entropy=0.9,
            pair_entropy=1 - 0.1 * epoch,
            expert_shares=[0.2] * 5,
            seconds=1.0,
        )
        for epoch in range(1, 8)
    ]
    training = artifact.manifest.training.model_copy(
        update={"history": history, "trigger_epoch": 3, "best_epoch": 6}
    )
    manifest = artifact.manifest.model_copy(update={"training": training})
    return Artifact(manifest=manifest, tensors=artifact.tensors, files=artifact.files)


@pytest.fixture
def service(redis_url, valkey_server, trained, publish, serving, following, until):
    publish(redis_url, trained)
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v1": time.time()})
    with serving(following()) as client:
        until(client.ready)
        yield client


@pytest.fixture
def open_page(browser: Browser, service) -> Iterator[Callable[..., Page]]:
    """Opens the page; what its console complains of, or what it asks of others, fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_at(path: str = "/", **options: object) -> Page:
        context = browser.new_context(**({"viewport": DESK} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda request: complaints.append(request.url) if foreign(request) else 0
        )
        page.goto(f"{service.base_url}{path.lstrip('/')}")
        return page

    def foreign(request) -> bool:
        return not request.url.startswith((str(service.base_url), "data:"))

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


def first_title(page: Page) -> str:
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    return page.locator(".card h3").first.inner_text()


def test_the_first_user_is_shown_with_bars_that_say_what_they_are(open_page) -> None:
    page = open_page()
    expect(page.get_by_role("heading", name="For u000")).to_be_visible()
    expect(page.locator(".card")).to_have_count(12)
    said = page.locator(".card .bar").first.get_attribute("aria-label")
    score, *terms = [
        float(x.replace("\u2212", "-")) for x in re.findall(r"[\u2212]?\d+\.\d+", said)
    ]
    assert sum(terms) == pytest.approx(score, abs=0.006 * (1 + len(terms)))


def test_the_legend_has_the_roles_of_the_model_and_no_others(
    open_page, service, redis_url, make_artifact, publish, until
) -> None:
    page = open_page()
    legend = page.locator("#legend > span")
    expect(legend).to_have_text(["dominant expert", "balanced", "complementary", "popularity"])
    assert service.recommend("u000", k=4)["model_version"] == "v1"
    publish(redis_url, without_complementary(make_artifact("v2", 0)))
    until(lambda: service.recommend("u000", k=4)["model_version"] == "v2")
    page.get_by_label("User").fill("u001")
    expect(page.get_by_role("heading", name="For u001")).to_be_visible()
    expect(legend).to_have_text(["dominant expert", "balanced", "popularity"])


def test_without_bars_there_is_no_legend(open_page) -> None:
    page = open_page("/#k=8")
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
    page.get_by_label("User").fill("u003")
    expect(page.get_by_role("heading", name="For u003")).to_be_visible()
    expected = service.recommend("u003", k=12)["items"][0]["title"]
    expect(page.locator(".card h3").first).to_have_text(f"1 {expected}")
    again = open_page(page.url.removeprefix(str(service.base_url)))
    expect(again.get_by_role("heading", name="For u003")).to_be_visible()


def test_a_session_is_built_by_finding_and_clicking_items(open_page, service) -> None:
    before = service.metric("magnet_fallbacks_total")
    page = open_page("/#k=8")
    expect(page.get_by_role("heading", name="Popular")).to_be_visible()
    expect(page.locator(".warning")).to_contain_text("popular items")
    expect(page.locator(".card")).to_have_count(8)
    assert service.metric("magnet_fallbacks_total") == before, "nobody was asked for"
    page.get_by_label("Add an item").fill("title 42")
    page.get_by_role("button", name="Title 42", exact=True).click()
    expect(page.get_by_role("heading", name="For this session")).to_be_visible()
    expected = service.post("/v1/recommendations", json={"session_items": ["i042"], "k": 8}).json()
    expect(page.locator(".card h3")).to_have_text(
        [f"{item['rank']} {item['title'] or item['item_id']}" for item in expected["items"]]
    )
    page.get_by_role("button", name="Remove from session: Title 42").click()
    expect(page.get_by_role("heading", name="Popular")).to_be_visible()


def test_why_names_every_expert_and_what_speaks_for_the_item(open_page, trained) -> None:
    page = open_page()
    page.get_by_role("button", name="Why?").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Rank 1 of")
    experts = dialog.get_by_role("region", name="Experts").get_by_role("rowheader")
    expect(experts).to_have_count(len(trained.manifest.experts))
    parts = dialog.get_by_role("region", name="Contribution by expert, modality and view")
    views, modalities = trained.manifest.views, trained.manifest.modalities
    groups = parts.locator("tbody")
    assert groups.count() >= 2  # of one expert at least, and of all together
    for group in groups.all():
        expect(group.get_by_role("row")).to_have_count(1 + len(views) + 1)
        expect(group.get_by_role("cell")).to_have_count((len(views) + 1) * (len(modalities) + 1))
    totals = [
        float(group.get_by_role("cell").last.inner_text().replace("\u2212", "-"))
        for group in groups.all()
    ]
    assert sum(totals[:-1]) == pytest.approx(totals[-1], abs=0.006 * len(totals))
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_similar_items_can_be_added_to_the_session(open_page, viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    page.get_by_role("button", name="Similar").first.click()
    add = page.get_by_role("dialog").get_by_role("button", name="Add to session").first
    expect(add).to_be_in_viewport(ratio=1)
    add.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="For u000, in this session")).to_be_visible()


def test_feedback_takes_an_item_out_of_the_list_at_once(open_page) -> None:
    page = open_page()
    title = first_title(page).split(" ", 1)[1]
    page.get_by_role("button", name=f"Not for me: {title}", exact=True).click()
    expect(page.locator("#said")).to_contain_text("kept for training")
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


def test_the_model_tab_draws_training_and_pins_a_version(open_page, service) -> None:
    page = open_page()
    page.get_by_role("tab", name="Recommendations").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name="Routing entropies over 7 epochs")).to_be_visible()
    expect(page.get_by_role("img", name="Share of each expert")).to_be_visible()
    page.get_by_role("button", name="Pin: v1", exact=True).click()
    expect(page.get_by_role("button", name="Unpin")).to_be_visible()
    assert service.get("/v1/models").json()["pinned"] == "v1"


def test_the_model_tab_rolls_back_and_shows_what_is_served_then(
    open_page, service, redis_url, valkey_server, make_artifact, publish, until
) -> None:
    publish(redis_url, make_artifact("v2", 2))
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v2": time.time()})
        redis.set(KeySpace().previous, "v1")
    until(lambda: service.get("/v1/model").json()["model_version"] == "v2")
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("button", name="Roll back and pin: v1", exact=True).click()
    expect(page.get_by_role("button", name="Unpin")).to_be_visible()
    until(lambda: service.get("/v1/model").json()["model_version"] == "v1")
    page.get_by_role("button", name="Reload").click()
    expect(page.locator("dd").first).to_have_text("v1")


def test_the_model_tab_tries_a_version_on_some_users_and_stops_that(
    open_page, service, redis_url, valkey_server, make_artifact, publish
) -> None:
    publish(redis_url, make_artifact("v2", 2), live=False)
    with valkey_server.client() as redis:
        redis.zadd(KeySpace().versions, {"v2": time.time()})
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("button", name="Try on 5.0 %: v2").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="v2", exact=True))
    expect(row).to_contain_text("canary, 5.0 %")
    expect(page.get_by_text("Canary: v2, for 5.0 % of the users since")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    page.get_by_role("button", name="Stop canary").click()
    expect(page.get_by_text("It was stopped at")).to_be_visible()
    assert service.get("/v1/models").json()["canary"]["outcome"] == "stopped"


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
    page.keyboard.press("Tab")
    why = page.get_by_role("button", name="Why?").first
    expect(why).to_be_focused()
    assert "user=u003" in page.url
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(why).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
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


def test_a_key_is_asked_for_where_the_service_wants_one(
    browser, redis_url, trained, publish, serving, following
) -> None:
    publish(redis_url, trained)
    key, secret = ApiKey.new("page", ["read"])
    with serving(following(keys=key.line())) as client, browser.new_context() as context:
        page = context.new_page()
        page.goto(str(client.base_url))
        dialog = page.get_by_role("dialog", name="An API key is needed")
        expect(dialog).to_be_visible(timeout=30_000)
        dialog.get_by_label("Key").fill(secret)
        dialog.get_by_role("button", name="Use it").click()
        expect(page.locator(".card")).to_have_count(12, timeout=30_000)


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
        expect(page.locator(".card img")).to_have_count(12, timeout=30_000)
        loaded = "pictures => pictures.every((one) => one.complete && one.naturalWidth === 1)"
        until(lambda: page.locator(".card img").evaluate_all(loaded))
        (tmp_path / "images" / f"{client.recommend('u000')['items'][0]['item_id']}.gif").unlink()
        page.reload()
        expect(page.locator(".card .none")).to_have_count(1, timeout=30_000)
