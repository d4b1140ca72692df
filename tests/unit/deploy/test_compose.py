"""The compose files: they follow the compose specification, fit each other, and name settings that exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from connector.process_roles import DRAIN_SECONDS
from tests.unit.deploy.files import DEPLOY, ROOT, VALIDATORS, assert_settings, read_yaml

FILES = ("compose.yaml", "try.yaml")


def read(name: str) -> dict[str, Any]:
    [document] = read_yaml(DEPLOY / "compose" / name)
    return dict(document)


@pytest.mark.parametrize("name", FILES)
def test_settings_of_services_exist(name: str) -> None:
    service = read(name)["services"]["connector"]
    assert_settings(service["environment"], least=1)
    for command in re.findall(r"connector (?:&& exec )?[a-z]+", str(read(name)["services"])):
        assert command.split()[-1] in {"db", "import", "serve", "localorg", "status"}


@pytest.mark.parametrize("name", FILES)
def test_service_is_restricted_and_has_time_to_end(name: str) -> None:
    service = read(name)["services"]["connector"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS + 5
    assert not {"privileged", "user"} & set(service)


@pytest.mark.parametrize("name", FILES)
def test_ports_are_published_to_this_machine_only(name: str) -> None:
    ports = [port for service in read(name)["services"].values() for port in service.get("ports", ())]
    assert "127.0.0.1:8080:8080" in ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", FILES)
def test_services_volumes_and_build_stages_that_are_referred_to_exist(name: str) -> None:
    document = read(name)
    services = document["services"]
    referred = {other for service in services.values() for other in service.get("depends_on", ())}
    shared = {
        service["network_mode"].removeprefix("service:") for service in services.values() if "network_mode" in service
    }
    assert referred
    assert referred | shared <= set(services)
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert {volume for volume in mounted if not volume.startswith(".")} == set(document["volumes"])
    assert all((DEPLOY / "compose" / path).resolve().exists() for path in mounted if path.startswith("."))
    built = [service["build"] for service in services.values() if "build" in service]
    contexts = {item if isinstance(item, str) else item["context"] for item in built}
    assert {(DEPLOY / "compose" / context).resolve() for context in contexts} == {ROOT}
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {item["target"] for item in built if not isinstance(item, str)} <= set(stages)


@pytest.mark.parametrize("name", FILES)
def test_file_follows_the_compose_specification(name: str) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason=f"compose-spec is not installed; {VALIDATORS}")
    document = read(name)
    compose_spec.PyCompose.from_json(json.dumps(document)).validate()
    document["services"]["connector"]["readonly"] = True
    with pytest.raises(ValueError, match="readonly"):
        compose_spec.PyCompose.from_json(json.dumps(document)).validate()
