"""docker-compose.yml: contained services, and a reader that overlooks nothing."""

from pathlib import Path

import pytest
import yaml

from tests.rehearsal.composition import Composition, read_composition, seconds
from tests.rehearsal.preparation import LEFT_OUT, STAND_INS

PROJECT = Path(__file__).parents[2]
COMPOSE = PROJECT / "docker-compose.yml"
SECRETS = ["REDIS_ADMIN_PASSWORD", "REDIS_SERVICE_PASSWORD", "REDIS_TRAINER_PASSWORD"]
VARIABLES = dict.fromkeys([*SECRETS, "GRAFANA_PASSWORD", "MAGNET_METRICS_KEY"], "x")


@pytest.fixture
def composition() -> Composition:
    return read_composition(COMPOSE, VARIABLES)


def test_every_service_is_contained(composition) -> None:
    for name, service in composition.services.items():
        assert service.read_only, name
        assert service.cap_drop == ["ALL"], name
        assert service.security_opt == ["no-new-privileges:true"], name
        assert service.user != "root", name
        assert service.deploy.resources.limits.memory, name


def test_every_ready_made_image_has_a_stand_in_or_is_left_out(composition) -> None:
    made = {name for name, service in composition.services.items() if service.build is not None}
    ready = {name: composition.services[name].image for name in composition.services.keys() - made}
    assert ready.keys() >= LEFT_OUT
    for name in ready.keys() - LEFT_OUT:
        assert (ready[name] or "").rpartition(":")[0] in STAND_INS, name


def test_only_this_machine_reaches_the_ports(composition) -> None:
    ports = [port for service in composition.services.values() for port in service.ports]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_redis_is_reached_only_by_those_who_need_it(composition) -> None:
    assert composition.networks["store"] == {"internal": True}
    connected = {
        name for name, service in composition.services.items() if "store" in service.networks
    }
    assert connected == {"redis", "service", "trainer"}
    assert composition.services["redis"].networks == ["store"]


def test_whatever_serves_is_asked_for_its_health(composition) -> None:
    checked = {name for name, service in composition.services.items() if service.healthcheck}
    assert checked == composition.services.keys() - {"trainer"}


def test_images_are_of_a_named_version(composition) -> None:
    images = [service.image for service in composition.services.values() if service.image]
    assert len(images) == 5
    for image in images:
        version = image.rpartition(":")[2]
        assert version.removeprefix("v")[0].isdigit(), image


def test_everything_that_is_mounted_or_named_exists(composition) -> None:
    for service in composition.services.values():
        for volume in service.volumes:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert source == "./.keys" or (PROJECT / source).is_dir(), volume
            else:
                assert source in composition.volumes
        assert composition.secrets.keys() >= set(service.secrets)
        assert composition.services.keys() >= service.depends_on.keys()


@pytest.mark.parametrize("missing", SECRETS)
def test_a_missing_secret_is_named(missing: str) -> None:
    variables = {name: text for name, text in VARIABLES.items() if name != missing}
    with pytest.raises(ValueError, match=rf"{missing} is made by deploy/secrets.sh"):
        read_composition(COMPOSE, variables)


def test_what_is_not_known_is_not_overlooked(tmp_path: Path) -> None:
    document = yaml.safe_load(COMPOSE.read_text())
    document["services"]["redis"]["privileged"] = True
    path = tmp_path / "compose.yml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=r"services\.redis\.privileged"):
        read_composition(path, VARIABLES)


def test_services_come_after_what_they_depend_on(composition) -> None:
    order = composition.order()
    for name, service in composition.services.items():
        assert all(order.index(other) < order.index(name) for other in service.depends_on)


def test_variables_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    service = {"command": ["${A:-none}", "${B:-none}", "${C}", "$$HOME"], "deploy": LIMITS}
    path.write_text(yaml.safe_dump({"name": "x", "services": {"one": service}}))
    read = read_composition(path, {"A": "a", "B": ""})
    assert read.services["one"].command == ["a", "none", "", "$HOME"]


LIMITS = {"resources": {"limits": {"cpus": "1", "memory": "1G"}}}


def test_durations() -> None:
    assert [seconds(text) for text in ("10s", "1m30s", "500ms")] == [10, 90, 0.5]
