"""The dashboard as Grafana would load it: whole, laid out, and about series that exist."""

import json
from itertools import combinations
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[3]
GRAFANA = PROJECT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "magnet.json").read_text())
PANELS = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in CHARTS for target in panel["targets"]]


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
    groups = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "alerts.yml").read_text())[
        "groups"
    ]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    asked = {query for query in QUERIES if query.startswith("magnet:")}
    assert asked
    assert asked <= recorded


def test_every_panel_asks_the_provisioned_datasource() -> None:
    file = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    for panel in CHARTS:
        for asked in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert asked == {"type": source["type"], "uid": source["uid"]}, panel["title"]


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
