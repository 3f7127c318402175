"""Alert rules: well-formed, about metrics that exist, and each fires on the fault it is for."""

import re
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[3]
RULES = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "alerts.yml").read_text())
CASES = yaml.safe_load(Path(__file__).with_name("alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]


def test_prometheus_accepts_configuration_and_rules(promtool) -> None:
    promtool("check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml")


def test_alerts_fire_on_their_fault_and_only_then(promtool) -> None:
    promtool("test", "rules", Path(__file__).with_name("alerts.yml"))


def test_every_alert_is_seen_both_firing_and_silent() -> None:
    firing, silent = set(), set()
    for case in CASES["tests"]:
        for expected in case.get("alert_rule_test", []):
            (firing if expected.get("exp_alerts") else silent).add(expected["alertname"])
    assert firing == {rule["alert"] for rule in ALERTS}
    assert silent == firing


def test_rules_ask_for_metrics_and_labels_that_exist(catalogue) -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert catalogue.faults(rule["expr"]) == [], rule


def test_a_metric_or_label_that_does_not_exist_is_noticed(catalogue) -> None:
    assert catalogue.faults("rate(magnet_request_total[5m])") == ["no metric magnet_request_total"]
    assert catalogue.faults('magnet_source_up{reason="x"}') == [
        "magnet_source_up has no label reason"
    ]
    assert catalogue.faults("sum by (path) (magnet_requests_total)") == [
        "no label path to group by"
    ]


def test_every_alert_says_who_should_look_and_is_explained() -> None:
    operations = (PROJECT / "docs" / "operations.md").read_text()
    explained = set(re.findall(r"^\| `(Magnet\w+)` \|", operations, re.MULTILINE))
    assert explained == {rule["alert"] for rule in ALERTS}
    assert {rule["labels"]["severity"] for rule in ALERTS} == {"page", "ticket"}
    assert all(rule["annotations"]["summary"] for rule in ALERTS)
