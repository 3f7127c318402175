"""The page that a run leaves."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser

from model.artifact.manifest import EpochRecord
from training.retrain.report import render
from training.retrain.rules import Rule
from training.retrain.runs import ChangedList, RunRecord

VOID = {"meta"}


class Outline(HTMLParser):
    """Headings and texts; fails on a tag that is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def record() -> RunRecord:
    record = RunRecord(
        run_id="r1",
        namespace="shop",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        rules=[Rule(name="routers", passed=False, text="0.2 of <even>")],
        metrics={
            "challenger": {"users": 90.0, "ndcg@20": 0.25, "tail items/ndcg@20": 0.125},
            "champion": {"users": 90.0, "ndcg@20": 0.2},
        },
        experts=["dominant_text", "balanced_1"],
        changed=[ChangedList(user_id="u7", gone=["Old & Sons"], came=["New"])],
        data={"pairs": 12_000},
        density=0.0625,
        rejected={"an id with a tab": 3},
        seconds={"train": 1.5},
        trigger_epoch=1,
        history=[
            EpochRecord(
                epoch=epoch,
                stage=stage,
                loss=1 / epoch,
                loss_terms={"ranking": 0.9 / epoch, **terms},
                valid_ndcg20=0.1 * epoch,
                coverage_entropy=0.9,
                pair_entropy=0.8,
                expert_shares=[0.6, 0.4],
                seconds=1.0,
            )
            for epoch, stage, terms in (
                (1, "encoders", {"alignment": 0.1}),
                (2, "encoders", {"alignment": 0.05}),
                (3, "coverage", {"routing_coverage": 0}),
                (4, "coverage", {"routing_coverage": 0}),
            )
        ],
    )
    record.end("refused", "routers: 0.2 of <even>")
    return record


def colours_of(png: bytes) -> set[tuple[int, ...]]:
    """Every colour of which a picture has more than a line's worth of pixels."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    counted = picture.getcolors(maxcolors=picture.width * picture.height)
    assert counted is not None
    return {colour for count, colour in counted if count > 100}


def channels(css: str) -> tuple[int, ...]:
    """Of `rgb(0, 114, 178)`."""
    return tuple(int(number) for number in re.findall(r"\d+", css))


def test_the_page_is_whole_and_says_everything(record: RunRecord) -> None:
    page = render(record)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    for text in (
        "Retraining r1: refused", "routers: 0.2 of <even>", "REFUSED", "0.2500", "0.1250",
        "tail items", "dominant_text", "of single pairs", "specialisation begins after epoch 1",
        "Old & Sons", "an id with a tab", "3", "1.5", "12,000", "6.250%",
    ):  # fmt: skip
        assert text in outline.text, text
    assert page.count('class="series"') == 9


def test_terms_of_the_loss_are_drawn_in_the_stages_that_have_them(record: RunRecord) -> None:
    outline = Outline()
    outline.feed(render(record))
    assert {"loss", "ranking", "other terms of the loss", "alignment", "routing coverage"} <= set(
        outline.text
    )


def test_the_page_needs_nothing_from_outside(record: RunRecord) -> None:
    page = render(record)
    assert re.findall(r"(?:src|href|url\(|@import|<script|<link)", page) == []
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"' ]+", page)) == names


def test_a_run_that_failed_early_has_a_page_too() -> None:
    record = RunRecord(run_id="r1", namespace="shop", started_at=datetime(2026, 1, 1, tzinfo=UTC))
    record.end("failed", "no data")
    assert "<svg" not in render(record)
    assert "Retraining r1: failed" in render(record)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_everybody_can_read_it_without_a_network(
    record: RunRecord, browser: Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(record), encoding="utf-8")
    complaints: list[str] = []
    with browser.new_context(
        offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    ) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        lines = page.locator("g.series path").all()
        boxes = [line.bounding_box() for line in lines]
        assert len(boxes) == 9
        assert all(box and box["width"] > 100 for box in boxes)
        # the loss and two terms fall and validation rises; entropies have the roles' colours
        assert sum(box["height"] > 20 for box in boxes if box) == 4
        strokes = {line.evaluate("x => getComputedStyle(x).stroke") for line in lines}
        assert len(strokes) > 2
        assert "none" not in strokes
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.set_viewport_size({"width": 1280, "height": 900})  # nothing to scroll
        drawn = colours_of(page.locator("svg").first.screenshot())
        assert drawn >= {channels(stroke) for stroke in strokes}
    assert complaints == []
