"""Figures of a model report on lists that are made up, and the page that `report` writes."""

import re
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from deploy.cli.app import main
from model.artifact.files import read_artifact
from training.experiments.model_report import (
    ACTIVITY_GROUPS,
    POPULARITY_GROUPS,
    Findings,
    Lists,
    find,
    make_lists,
)


@pytest.fixture(scope="module")
def artifact(artifact_dir):
    return read_artifact(artifact_dir)


def shown(artifact, items_UL: np.ndarray, expert: int = 0) -> Findings:
    """What is found of lists in which one expert alone speaks."""
    weight_ULK = np.zeros((*items_UL.shape, len(artifact.manifest.experts)))
    weight_ULK[..., expert] = 1
    users_U = np.arange(len(items_UL))
    return find(artifact, Lists(users_U=users_U, items_UL=items_UL, weight_ULK=weight_ULK), seed=0)


def test_everybody_gets_the_same_item(artifact) -> None:
    best = int(artifact.tensors["item_popularity"].argmax())
    tail = shown(artifact, np.full((10, 1), best)).tail
    num_items = artifact.manifest.num_items
    assert tail.covered == pytest.approx(1 / num_items)
    assert tail.gini == pytest.approx(1 - 1 / num_items)
    assert tail.places_Q.tolist() == [1.0] + [0.0] * (POPULARITY_GROUPS - 1)


def test_every_item_is_shown_equally_often(artifact) -> None:
    num_items = artifact.manifest.num_items
    tail = shown(artifact, np.arange(num_items).reshape(-1, 2)).tail
    assert (tail.covered, tail.gini) == (1, pytest.approx(0))
    assert tail.places_Q == pytest.approx(np.full(POPULARITY_GROUPS, 1 / POPULARITY_GROUPS))
    assert tail.interactions_Q.sum() == pytest.approx(1)
    assert (np.diff(tail.interactions_Q) <= 0).all()


def test_a_group_has_the_mean_weight_of_its_places(artifact) -> None:
    by_user, by_item, by_category = shown(artifact, np.array([[0, 1], [2, 3]]), expert=1).maps
    for found in (by_user, by_item, by_category):
        assert found.places_Q.sum() == 4
        assert found.weight_QK[found.places_Q > 0, 1].tolist() == [1] * (found.places_Q > 0).sum()
        assert found.weight_QK.sum() == (found.places_Q > 0).sum()
    assert by_category.groups == ("Tea", "Wool")
    assert by_category.places_Q.tolist() == [2, 2]
    assert len(by_user.groups) == ACTIVITY_GROUPS


def test_an_expert_that_serves_nobody_is_idle(artifact) -> None:
    experts = shown(artifact, np.array([[0, 1], [2, 3]]), expert=1).experts
    count = len(artifact.manifest.experts)
    assert [x.idle for x in experts] == [k != 1 for k in range(count)]
    assert (experts[1].leads, experts[1].share) == (1, count)
    assert [share for _, share in experts[1].most] == [count] * 3


def test_an_expert_leads_where_its_share_is_largest(artifact) -> None:
    items_UL = np.array([[0, 2], [1, 3]])  # the first user is shown Tea, the other one Wool
    weight_ULK = np.full((2, 2, len(artifact.manifest.experts)), 0.05)
    weight_ULK[0, :, 0], weight_ULK[1, :, 0] = 0.02, 0.08
    lists = Lists(users_U=np.arange(2), items_UL=items_UL, weight_ULK=weight_ULK)
    first = find(artifact, lists, seed=0).experts[0]
    even = 1 / len(artifact.manifest.experts)
    assert first.most[2] == ("Wool", pytest.approx(0.08 / even))
    assert first.share == pytest.approx(0.05 / even)
    assert first.leads == 0.5
    assert not first.idle


def test_items_of_one_taste_lie_together(artifact) -> None:
    found = shown(artifact, np.array([[0, 1]]))
    text = next(x for x in found.embeddings if x.modality == "text")
    tea_S2, wool_S2 = (text.point_S2[found.category_S == c] for c in (0, 1))
    apart = np.linalg.norm(tea_S2.mean(axis=0) - wool_S2.mean(axis=0))
    assert apart > 2 * max(tea_S2.std(), wool_S2.std())
    assert 0.5 < text.variance <= 1


def test_lists_are_those_that_are_served(artifact) -> None:
    progress: list[tuple[int, int]] = []
    lists = make_lists(artifact, 25, seed=0, on_users=lambda *done: progress.append(done))
    assert progress[-1] == (25, 25)
    assert lists.weight_ULK.sum(axis=2) == pytest.approx(np.ones(lists.items_UL.shape), abs=1e-5)
    offsets, seen = artifact.tensors["seen_offsets"], artifact.tensors["seen_items"]
    for user, items_L in zip(lists.users_U, lists.items_UL, strict=True):
        assert artifact.tensors["history_lengths"][user] > 0
        assert np.intersect1d(items_L, seen[offsets[user] : offsets[user + 1]]).size == 0
    again = make_lists(artifact, 25, seed=0, on_users=lambda *_: None)
    assert again.items_UL.tolist() == lists.items_UL.tolist()


def test_it_draws_an_artifact(artifact_dir: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "tiny.html"
    assert main(["report", str(artifact_dir), "--users", "20", "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    manifest = read_artifact(artifact_dir).manifest
    assert manifest.model_version in text
    assert text.count('<table class="weights">') == 3
    assert text.count("<svg") == len(manifest.modalities)
    assert text.count("<use ") == manifest.num_items * len(manifest.modalities)
    assert all(text.count(expert.name.replace("_", " ")) >= 4 for expert in manifest.experts)
    assert "Where each expert leads" in text
    assert text.count(" % of items") == POPULARITY_GROUPS
    assert re.findall(r"(?:src|href)=\"(?!#)|url\(|<script|<link|@import", text) == []
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"' ]+", text)) == names


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everybody_can_read_it(
    artifact_dir: Path, tmp_path: Path, browser: Browser, scheme: str, width: int
) -> None:
    path = tmp_path / "tiny.html"
    assert main(["report", str(artifact_dir), "--users", "20", "--out", str(path)]) == 0
    complaints: list[str] = []
    with browser.new_context(
        offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    ) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator(".weights").first.bounding_box()["width"] >= 640
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    assert complaints == []


@pytest.mark.parametrize("users", ["0", "many"])
def test_a_number_that_is_none_is_refused(users: str, artifact_dir: Path, capsys) -> None:
    assert main(["report", str(artifact_dir), "--users", users]) == 2
    said = capsys.readouterr().err
    assert "'--users'" in said
    assert users in said


def test_a_folder_that_is_no_artifact_is_named(tmp_path: Path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path} is not an artifact" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
