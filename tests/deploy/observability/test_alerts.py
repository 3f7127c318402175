"""Alert rules: well-formed, about metrics that exist, and each fires on the fault it is for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify

PROJECT = Path(__file__).parents[3]
ALERTMANAGER = PROJECT / "deploy" / "alertmanager" / "alertmanager.yml"
FILES = ("alerts.yml", "levels.yml")
RULES = [
    rule
    for file in FILES
    for group in yaml.safe_load((PROJECT / "deploy" / "prometheus" / file).read_text())["groups"]
    for rule in group["rules"]
]
CASES = [
    case
    for file in FILES
    for case in yaml.safe_load(Path(__file__).with_name(file).read_text())["tests"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()


def test_prometheus_accepts_configuration_and_rules(promtool) -> None:
    promtool("check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml")


@pytest.mark.parametrize("file", FILES)
def test_alerts_fire_on_their_fault_and_only_then(file: str, promtool) -> None:
    promtool("test", "rules", Path(__file__).with_name(file))


def test_alertmanager_accepts_its_configuration() -> None:
    program = shutil.which("amtool")
    if program is None:
        pytest.skip("amtool is not installed (Debian, Ubuntu: apt install prometheus-alertmanager)")
    done = subprocess.run(
        [program, "check-config", ALERTMANAGER], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_whoever_is_told_or_spared_is_there() -> None:
    found = yaml.safe_load(ALERTMANAGER.read_text())
    route = found["route"]
    named = {route["receiver"], *(each["receiver"] for each in route["routes"])}
    assert named == {each["name"] for each in found["receivers"]}
    severities = {rule["labels"]["severity"] for rule in ALERTS}
    for each in route["routes"]:
        assert re.fullmatch(r'severity="(\w+)"', each["matchers"][0])[1] in severities
    alerts = {rule["alert"] for rule in ALERTS}
    for rule in found["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = re.fullmatch(r'alertname(?:=~|!=|=)"(.+)"', matcher)[1]
            assert [name for name in alerts if re.fullmatch(pattern, name)], matcher
    (target,) = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "prometheus.yml").read_text())[
        "alerting"
    ]["alertmanagers"][0]["static_configs"][0]["targets"]
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    assert target.partition(":")[0] in services


def test_every_alert_is_seen_both_firing_and_silent() -> None:
    firing, silent = set(), set()
    for case in CASES:
        for expected in case.get("alert_rule_test", []):
            (firing if expected.get("exp_alerts") else silent).add(expected["alertname"])
    assert firing == {rule["alert"] for rule in ALERTS}
    assert silent == firing


def test_rules_ask_for_metrics_and_labels_that_exist(catalogue) -> None:
    for rule in RULES:
        assert catalogue.faults(rule["expr"]) == [], rule


def test_recorded_shares_that_are_asked_for_are_recorded() -> None:
    asked = {name for rule in ALERTS for name in re.findall(r"magnet:[\w:]+", rule["expr"])}
    assert asked <= {rule["record"] for rule in RULES if "record" in rule}
    assert len(asked) > 8


def test_a_metric_or_label_that_does_not_exist_is_noticed(catalogue) -> None:
    assert catalogue.faults("rate(magnet_request_total[5m])") == ["no metric magnet_request_total"]
    assert catalogue.faults('magnet_source_up{reason="x"}') == [
        "magnet_source_up has no label reason"
    ]
    assert catalogue.faults("sum by (path) (magnet_requests_total)") == [
        "no label path to group by"
    ]


def test_every_alert_says_who_should_look_and_is_explained() -> None:
    explained = re.findall(r"^### (Magnet\w+)\n\n\*(Page|Ticket)\.\*", OPERATIONS, re.MULTILINE)
    assert sorted((name, word.lower()) for name, word in explained) == sorted(
        (rule["alert"], rule["labels"]["severity"]) for rule in ALERTS
    )
    assert {rule["labels"]["severity"] for rule in ALERTS} == {"page", "ticket"}
    assert all(rule["annotations"]["summary"] for rule in ALERTS)


def test_every_alert_leads_to_its_section() -> None:
    anchors = {slugify(heading, "-") for heading in re.findall(r"(?m)^#+ (.+)$", OPERATIONS)}
    for rule in ALERTS:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "{{ $externalLabels.docs }}/operations/"
        assert anchor in anchors
        assert anchor == rule["alert"].lower()
