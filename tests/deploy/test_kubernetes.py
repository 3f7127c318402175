"""deploy/kubernetes: by the published schemas, contained, and naming only what exists."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from service.ops.metrics import STAGES, Metrics
from service.ops.settings import Settings, variable_name
from training.retrain.settings import read_config

BASE = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
VERSIONS = ["1.31.0", kubernetes_validate.latest_version()]
"""The oldest that the manifests are for, and the newest that the validator knows."""


def resources(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


WRITTEN = [
    one for name in KUSTOMIZATION["resources"] for one in resources((BASE / name).read_text())
]
BY_KIND: dict[str, list[dict[str, Any]]] = {}
for each in WRITTEN:
    BY_KIND.setdefault(each["kind"], []).append(each)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod template, by the name of what makes it."""
    for one in BY_KIND["Deployment"]:
        yield one["metadata"]["name"], one["spec"]["template"]
    for one in BY_KIND["CronJob"]:
        yield one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]["template"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_they_obey_the_published_schemas(version: str) -> None:
    assert len(WRITTEN) == 8
    for resource in WRITTEN:
        kubernetes_validate.validate(resource, version, strict=True)


def test_kustomize_puts_them_together() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    made = resources(subprocess.check_output([kubectl, "kustomize", BASE], text=True))
    assert len(made) == len(WRITTEN) + len(KUSTOMIZATION["configMapGenerator"])
    for resource in made:
        kubernetes_validate.validate(resource, VERSIONS[0], strict=True)
    named = {one["metadata"]["name"] for one in made if one["kind"] == "ConfigMap"}
    text = yaml.safe_dump_all(made)
    assert all(text.count(name) >= 2 for name in named), "each is made, and used"
    assert re.findall(r"image: (\S+)", text)
    assert all(":" in image for image in re.findall(r"image: (\S+)", text))


def test_every_file_belongs_to_the_base() -> None:
    files = [file for one in KUSTOMIZATION["configMapGenerator"] for file in one.get("files", [])]
    listed = {"kustomization.yaml", *KUSTOMIZATION["resources"], *files}
    assert {path.name for path in BASE.iterdir()} == listed | {"keda"}
    component = yaml.safe_load((BASE / "keda" / "kustomization.yaml").read_text())
    assert {path.name for path in (BASE / "keda").iterdir()} == {
        "kustomization.yaml",
        *component["resources"],
    }


SCALED_OBJECT = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": {
                    "type": "object",
                    "required": ["name"],
                    "additionalProperties": False,
                    "properties": {
                        name: {"type": "string"}
                        for name in ("name", "kind", "apiVersion", "envSourceContainerName")
                    },
                },
                "minReplicaCount": {"type": "integer", "minimum": 0},
                "maxReplicaCount": {"type": "integer", "minimum": 1},
                "pollingInterval": {"type": "integer", "minimum": 1},
                "cooldownPeriod": {"type": "integer", "minimum": 0},
                "advanced": {"type": "object"},
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": {"enum": ["prometheus", "cpu"]},
                            "metricType": {"enum": ["AverageValue", "Value", "Utilization"]},
                            "metadata": {
                                "type": "object",
                                "additionalProperties": {"type": "string"},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""As KEDA documents it (keda.sh/docs, ScaledObject specification), of the triggers in use."""


def test_keda_scales_what_there_is_by_metrics_that_are_there() -> None:
    (scaled,) = resources((BASE / "keda" / "scaling.yaml").read_text())
    jsonschema.validate(scaled, SCALED_OBJECT)
    spec, (autoscaler,) = scaled["spec"], BY_KIND["HorizontalPodAutoscaler"]
    assert spec["scaleTargetRef"]["name"] == BY_KIND["Deployment"][0]["metadata"]["name"]
    assert spec["minReplicaCount"] == autoscaler["spec"]["minReplicas"]
    assert spec["maxReplicaCount"] == autoscaler["spec"]["maxReplicas"]
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour == autoscaler["spec"]["behavior"]
    named = {family.name for family in Metrics().registry.collect()}
    for trigger in spec["triggers"]:
        about = trigger["metadata"]
        if trigger["type"] == "prometheus":
            assert set(about) == {"serverAddress", "query", "threshold"}
            for metric in re.findall(r"magnet_\w+", about["query"]):
                assert metric.removesuffix("_sum") in named
            for found in re.findall(r'stage=~"([^"]+)"', about["query"]):
                assert set(found.split("|")) <= set(STAGES)
        else:
            assert set(about) == {"value"}
    component = yaml.safe_load((BASE / "keda" / "kustomization.yaml").read_text())
    (patch,) = component["patches"]
    assert patch["target"] == {
        "kind": autoscaler["kind"],
        "name": autoscaler["metadata"]["name"],
    }
    assert yaml.safe_load(patch["patch"])["$patch"] == "delete"


def test_containers_have_no_rights_and_bounded_memory() -> None:
    for name, pod in pods():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["runAsUser"] == 10001, "as in the Dockerfile"
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_secrets_come_by_reference_only() -> None:
    assert "Secret" not in BY_KIND
    for _, pod in pods():
        for container in containers(pod):
            for variable in container.get("env", []):
                assert "value" not in variable, variable["name"]


def test_mounts_have_volumes_and_volumes_are_mounted() -> None:
    for name, pod in pods():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        mounted = {m["name"] for one in containers(pod) for m in one["volumeMounts"]}
        assert mounted == volumes, name
    claims = {one["metadata"]["name"] for one in BY_KIND["PersistentVolumeClaim"]}
    text = (BASE / "retrain.yaml").read_text()
    assert set(re.findall(r"claimName: (\S+)", text)) == claims


def test_selectors_find_their_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods()}
    (deployment,) = BY_KIND["Deployment"]
    (service,) = BY_KIND["Service"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels["magnet-service"]
    assert service["spec"]["selector"] == labels["magnet-service"]
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for one in BY_KIND[kind]:
            assert one["spec"][field]["matchLabels"] == labels[one["metadata"]["name"]]
    assert {one["metadata"]["name"] for one in BY_KIND["NetworkPolicy"]} == labels.keys()


def test_settings_are_settings() -> None:
    known = {variable_name(field) for field in Settings.model_fields}
    for one in KUSTOMIZATION["configMapGenerator"]:
        for line in one.get("literals", []):
            assert line.partition("=")[0] in known


def test_it_drains_before_it_is_killed() -> None:
    (deployment,) = BY_KIND["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    literals = dict(
        line.split("=", 1)
        for one in KUSTOMIZATION["configMapGenerator"]
        for line in one.get("literals", [])
    )
    dockerfile = (BASE.parents[1] / "Dockerfile").read_text()
    in_flight = re.search(r'"--graceful-timeout", "(\d+)"', dockerfile)
    assert in_flight is not None
    drain = float(literals["MAGNET_DRAIN_SECONDS"])
    assert drain + int(in_flight[1]) < pod["terminationGracePeriodSeconds"]
    probe = pod["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < drain


def test_retraining_is_tried_again_only_where_that_helps() -> None:
    (job,) = BY_KIND["CronJob"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    spec = job["spec"]["jobTemplate"]["spec"]
    assert spec["backoffLimit"] > 0
    rule = next(rule for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule)
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [2, 3, 4]
    names = [container["name"] for container in spec["template"]["spec"]["containers"]]
    assert rule["onExitCodes"]["containerName"] in names
    page = (BASE.parents[1] / "docs" / "lifecycle.md").read_text()
    documented = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE))
    assert "command line" in documented["2"]
    assert "rules refused" in documented["3"]
    assert "holds the lock" in documented["4"]


def test_what_it_retrains_on_is_a_configuration() -> None:
    config = read_config(BASE / "retrain.toml", {})
    (job,) = BY_KIND["CronJob"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    places = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert "/data" in places
    assert {config.state.parts[1], config.data.folder.parts[1]} == {"data"}
    assert str(config.data.folder) in pod["initContainers"][0]["command"]
