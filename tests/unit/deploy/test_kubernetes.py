"""The Kubernetes manifests: valid by the schemas, a Deployment for each role, settings that exist, and few rights."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from connector.process_roles import DRAIN_SECONDS, ROLES
from tests.unit.deploy.files import DEPLOY, VALIDATORS, assert_settings, env_file_names, read_yaml, require_program

BASE = DEPLOY / "kubernetes" / "base"
EXAMPLE = DEPLOY / "kubernetes" / "example"
SIX = {"Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}


def kustomization(folder: Path) -> dict[str, Any]:
    [document] = read_yaml(folder / "kustomization.yaml")
    return dict(document)


def manifests() -> list[dict[str, Any]]:
    return [document for name in kustomization(BASE)["resources"] for document in read_yaml(BASE / name)]


def deployments() -> dict[str, dict[str, Any]]:
    found = {item["metadata"]["name"]: item for item in manifests() if item["kind"] == "Deployment"}
    assert set(found) == {f"connector-{role}" for role in ROLES}
    return {name.removeprefix("connector-"): item for name, item in found.items()}


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    pod = manifest["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_all_files_are_listed_and_all_kinds_are_there() -> None:
    assert {path.name for path in BASE.iterdir()} == {*kustomization(BASE)["resources"], "kustomization.yaml"}
    assert {item["kind"] for item in manifests()} == SIX


def test_every_role_has_replicas_that_differ_in_nothing_else() -> None:
    seen = []
    for role, manifest in deployments().items():
        assert manifest["spec"]["replicas"] >= 2
        same = copy.deepcopy(manifest)
        service = same["spec"]["template"]["spec"]["containers"][0]
        assert service["args"] == ["connector", "serve", "--roles", role if role == "api" else f"api,{role}"]
        del service["args"], service["resources"]["requests"]["cpu"], same["spec"]["replicas"]
        seen.append(str(same).replace(f"connector-{role}", "-").replace(f"component': '{role}'", "-"))
    assert len(seen) == 4
    assert len(set(seen)) == 1


@pytest.mark.parametrize("role", ROLES)
def test_pod_is_probed_and_has_time_to_end(role: str) -> None:
    pod = deployments()[role]["spec"]["template"]["spec"]
    [service] = pod["containers"]
    paths = {name: service[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    pause = int(service["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + DRAIN_SECONDS + 5
    [waiting] = pod["initContainers"]
    assert waiting["args"] == ["connector", "status", "--health"]


def test_containers_may_do_little() -> None:
    programs = [item for item in manifests() if item["kind"] in {"Deployment", "Job"}]
    assert len(programs) == 5
    for manifest in programs:
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # they would look like settings
        for container in containers(manifest):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_settings_exist_and_every_container_has_them() -> None:
    [generated] = kustomization(BASE)["configMapGenerator"]
    assert_settings([line.split("=")[0] for line in generated["literals"]], least=4)
    assert "CONNECTOR_WORKERS=cluster" in generated["literals"]  # changes are made in other Pods than those that send
    [merged] = kustomization(EXAMPLE)["configMapGenerator"]
    assert (merged["name"], merged["behavior"]) == (generated["name"], "merge")
    assert_settings([line.split("=")[0] for line in merged["literals"]], least=2)
    assert_settings(env_file_names(EXAMPLE / "secrets.env.example"), least=3)
    [secret] = kustomization(EXAMPLE)["secretGenerator"]
    sources = [{"configMapRef": {"name": generated["name"]}}, {"secretRef": {"name": secret["name"]}}]
    found = [item["envFrom"] for one in manifests() if one["kind"] in {"Deployment", "Job"} for item in containers(one)]
    assert found == [sources] * 9


def test_budgets_service_and_policies_choose_pods_that_exist() -> None:
    pods = [
        item["spec"]["template"]["metadata"]["labels"] for item in manifests() if item["kind"] in {"Deployment", "Job"}
    ]
    chosen: dict[str, list[dict[str, str]]] = {"PodDisruptionBudget": [], "Service": [], "NetworkPolicy": []}
    for item in manifests():
        if item["kind"] in chosen:
            spec = item["spec"]
            selector = spec.get("podSelector", spec.get("selector"))
            chosen[item["kind"]].append(selector.get("matchLabels", selector))
    for labels in [one for kind in chosen.values() for one in kind]:
        assert any(labels.items() <= pod.items() for pod in pods), labels
    component = "app.kubernetes.io/component"
    assert {labels[component] for labels in chosen["PodDisruptionBudget"]} == set(ROLES)
    assert [labels[component] for labels in chosen["Service"]] == ["api"]
    assert len(chosen["NetworkPolicy"]) == 2
    assert component not in chosen["NetworkPolicy"][0]  # it restricts all of them


def test_manifests_follow_the_schemas_of_kubernetes() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason=f"kubernetes-validate is not installed; {VALIDATORS}")
    version = validator.latest_version()
    for item in manifests():
        validator.validate(item, version, strict=True)
    wrong = copy.deepcopy(deployments()["api"])
    wrong["spec"]["replica"] = 2
    with pytest.raises(validator.ValidationError, match="replica"):
        validator.validate(wrong, version, strict=True)


def test_kustomize_builds_the_example(tmp_path: Path) -> None:
    kubectl = require_program("kubectl")
    shutil.copytree(BASE, tmp_path / "base")
    shutil.copytree(EXAMPLE, tmp_path / "example")
    (tmp_path / "example" / "secrets.env.example").rename(tmp_path / "example" / "secrets.env")
    done = subprocess.run([kubectl, "kustomize", tmp_path / "example"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = tmp_path / "built.yaml"
    built.write_text(done.stdout, encoding="utf-8")
    documents = read_yaml(built)
    assert {item["kind"] for item in documents} == {*SIX, "ConfigMap", "Secret"}
    assert {item["metadata"]["namespace"] for item in documents} == {"connector"}
    by_name = {item["metadata"]["name"]: item for item in documents if item["kind"] == "Deployment"}
    worker = by_name["connector-worker"]
    assert worker["spec"]["replicas"] == 3
    [container] = worker["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.shop.example/crm-connector:0.1.0"
    [settings] = [item for item in documents if item["kind"] == "ConfigMap"]
    assert container["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]
    assert_settings(settings["data"], least=6)
