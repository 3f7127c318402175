"""The dashboard as Grafana would load it: whole, laid out, and about series that exist."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify

PROJECT = Path(__file__).parents[3]
GRAFANA = PROJECT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "magnet.json").read_text())
PANELS = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
ANNOTATIONS = DASHBOARD["annotations"]["list"]
QUERIES = [
    *(target["expr"] for panel in CHARTS for target in panel["targets"]),
    *(each["expr"] for each in ANNOTATIONS),
]


def test_queries_ask_for_metrics_and_labels_that_exist(catalogue) -> None:
    faults = {query: catalogue.faults(query) for query in QUERIES}
    assert {query: found for query, found in faults.items() if found} == {}


def test_queries_are_promql(promtool, tmp_path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(QUERIES)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)


def test_recorded_series_are_recorded() -> None:
    files = [PROJECT / "deploy" / "prometheus" / name for name in ("alerts.yml", "levels.yml")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    asked = {name for query in QUERIES for name in re.findall(r"magnet:[\w:]+", query)}
    assert asked
    assert asked <= recorded


def test_every_panel_asks_the_provisioned_datasource() -> None:
    file = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    for panel in CHARTS:
        for asked in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert asked == {"type": source["type"], "uid": source["uid"]}, panel["title"]


def test_variables_choose_what_panels_show() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    used = {name for query in QUERIES for name in re.findall(r'"\$(\w+)"', query)}
    assert used == {"instance", "version"}
    assert used <= variables.keys()
    assert all(variables[name]["allValue"] == ".*" for name in used)
    told_apart = [query for query in QUERIES if "magnet_request" in query and "30d" not in query]
    assert all('instance=~"$instance"' in query for query in told_apart)


@pytest.mark.parametrize(
    "panel", [each for each in CHARTS if "links" in each], ids=lambda x: x["title"]
)
def test_links_of_panels_lead_to_what_to_do(panel) -> None:
    operations = (PROJECT / "docs" / "operations.md").read_text()
    anchors = {slugify(heading, "-") for heading in re.findall(r"(?m)^#+ (.+)$", operations)}
    for link in panel["links"]:
        page, _, anchor = link["url"].partition("#")
        assert page == "${docs}/operations/"
        assert anchor in anchors


def test_a_publish_is_marked() -> None:
    served, canary = ANNOTATIONS
    assert "magnet_model_info" in served["expr"]
    assert served["titleFormat"] == "{{model_version}} is served"
    assert "magnet_canary_info" in canary["expr"]


def test_panels_have_a_title_an_id_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["title"] for panel in PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_it_shows_what_an_operator_looks_for() -> None:
    shown = " ".join(QUERIES)
    for metric in (
        "magnet_requests_total",
        "magnet_request_seconds_bucket",
        "magnet_stage_seconds_bucket",
        "magnet_fallbacks_total",
        "magnet:expert_share:rate1h",
        "magnet_model_age_seconds",
        "magnet_feedback_waiting_events",
    ):
        assert metric in shown
