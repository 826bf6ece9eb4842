"""Crossplane's packages: what they hold follows from one list of kinds, and its own command line builds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import charts_sync
import images
import packages
import packages_content as content
import pytest
import yaml
from generated import settle
from tests.charts.binaries import needed
from tests.packages.archives import Manifest, objects

from asya_composer.kinds import COMPOSED, SQS_QUEUE, Kind


def dependencies(configuration: Manifest) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in configuration["spec"]["dependsOn"]:
        found.setdefault(each["kind"], set()).add(each["package"].rpartition("/")[2])
    return found


def test_generated_files_are_in_step() -> None:
    wrong = [path.name for path, text in content.generated().items() if path.read_text() != text]
    assert wrong == [], "run `make generate`"


def test_everything_follows_from_the_list_of_kinds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kind more is at once in role, activation policy and dependencies, and the files are out of step."""
    topic = replace(SQS_QUEUE, group="sns.aws.m.upbound.io", kind="Topic", plural="topics", provider="provider-aws-sns")
    role = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "core")
    before = charts_sync.rules()
    monkeypatch.setattr(charts_sync, "COMPOSED", (*COMPOSED, topic, role))

    assert "topics.sns.aws.m.upbound.io" in content.activation_policy()["spec"]["activate"]
    assert "provider-aws-sns" in dependencies(content.configuration())["Provider"]
    added = [rule for rule in charts_sync.rules() if rule not in before]
    assert [(rule["apiGroups"], rule["resources"]) for rule in added] == [
        (["rbac.authorization.k8s.io"], ["rolebindings"])
    ]
    assert settle(content.generated(), check=True, again="generate") == 1
    told = capsys.readouterr().out
    assert "crossplane/configuration/crossplane.yaml is out of step" in told
    assert "crossplane/configuration/activation-policy.yaml is out of step" in told


def test_exactly_the_cloud_kinds_are_activated() -> None:
    wanted = {f"{kind.plural}.{kind.group}" for kind in COMPOSED if kind.group.endswith(".m.upbound.io")}
    assert set(content.activation_policy()["spec"]["activate"]) == wanted


def test_the_function_is_of_the_same_release_and_providers_of_a_major_version() -> None:
    found = {each["package"]: each["version"] for each in content.dependencies()}
    assert found["ghcr.io/asya/function-asya"] == f"={content.version()}"
    assert found["xpkg.upbound.io/upbound/provider-gcp-pubsub"] == ">=v3.0.0, <v4.0.0"
    assert {kind.provider for kind in COMPOSED if kind.provider} <= {name.rpartition("/")[2] for name in found}


def test_a_composition_without_the_function_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "composition.yaml"
    other.write_text(content.COMPOSITION.read_text().replace("name: function-asya", "name: function-other"))
    monkeypatch.setattr(content, "COMPOSITION", other)
    with pytest.raises(ValueError, match="has not one step"):
        content.composition()


def test_the_configuration_holds_definition_composition_and_policy(tmp_path: Path) -> None:
    root, _ = content.assemble(tmp_path)
    package = packages.pack(needed("crossplane"), root, tmp_path / "configuration.xpkg")
    first, *others = objects(package)

    assert (first["kind"], first["metadata"]["name"]) == ("Configuration", "configuration-asya")
    assert dependencies(first) == {
        "Function": {"function-asya"},
        "Provider": {kind.provider for kind in COMPOSED if kind.provider},
    }
    found = {each["kind"]: each for each in others}
    assert set(found) == {"CompositeResourceDefinition", "Composition", "ManagedResourceActivationPolicy"}
    assert found["CompositeResourceDefinition"]["spec"] == yaml.safe_load(content.XRD.read_text())["spec"]
    wanted = yaml.safe_load(content.COMPOSITION.read_text())["spec"]
    (step,) = found["Composition"]["spec"]["pipeline"]
    # The name that Crossplane gives a function of ghcr.io/asya/function-asya which it installs itself.
    assert step["functionRef"] == {"name": "asya-function-asya"}
    assert step["input"] == wanted["pipeline"][0]["input"]


def test_the_function_s_package_holds_the_definition_of_its_input(tmp_path: Path) -> None:
    package = packages.pack(needed("crossplane"), content.FUNCTION, tmp_path / "function.xpkg")
    first, crd = objects(package)
    assert (first["kind"], first["metadata"]["name"]) == ("Function", "function-asya")
    assert first["spec"]["capabilities"] == ["composition"]
    # That this file is in step with the models is asked by tests/compose/test_input.py.
    wanted = yaml.safe_load((content.FUNCTION / "input" / "composer.asya.sh_inputs.yaml").read_text())
    assert crd["metadata"]["name"] == wanted["metadata"]["name"] == "inputs.composer.asya.sh"
    assert crd["spec"]["versions"][0]["schema"] == wanted["spec"]["versions"][0]["schema"]


def test_what_crossplane_refuses_is_told(tmp_path: Path) -> None:
    root, _ = content.assemble(tmp_path)
    (root / "role.yaml").write_text(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\nrules: []\n"
    )
    with pytest.raises(images.BuildError, match=r"configuration\.xpkg: "):
        packages.pack(needed("crossplane"), root, tmp_path / "configuration.xpkg")


def test_without_a_builder_the_function_s_package_is_built_and_said_to_hold_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = needed("crossplane")
    monkeypatch.setattr(packages, "crossplane", lambda: program)
    monkeypatch.setattr(images.shutil, "which", lambda _: None)
    built = packages.build_all(tmp_path, ["amd64"], None)
    assert [path.name for path in built] == ["configuration-asya.xpkg", "function-asya.xpkg"]
    assert "function-asya.xpkg holds no image" in capsys.readouterr().err
