"""What Crossplane's packages hold. Dependencies and activation policy follow from the composer's one list of kinds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from charts_sync import activated
from charts_sync import providers as provider_names

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "crossplane" / "configuration"
FUNCTION = ROOT / "crossplane" / "composer" / "package"
CHART = ROOT / "charts" / "asya-crossplane"
XRD = ROOT / "xrds" / "asyncactors.yaml"
COMPOSITION = ROOT / "compositions" / "asyncactors.yaml"
_HEAD = "# Written by `make generate` from crossplane/composer/src/asya_composer/kinds.py; not to be edited.\n"

Manifest = dict[str, Any]


def version() -> str:
    """Return the version of packages and images: that of the charts which install them."""
    return str(_yaml(CHART / "Chart.yaml")["appVersion"])


def generated() -> dict[Path, str]:
    """Return path and text of the files in `crossplane/configuration` that are generated."""
    return {
        CONFIGURATION / "crossplane.yaml": _text(configuration()),
        CONFIGURATION / "activation-policy.yaml": _text(activation_policy()),
    }


def configuration() -> Manifest:
    """Return the Configuration's metadata: it depends on the function and on the providers of all kinds composed."""
    function = _yaml(FUNCTION / "crossplane.yaml")
    described = {
        **function["metadata"]["annotations"],
        "meta.crossplane.io/description": "The kind AsyncActor: queue, identity, and a workload that scales to zero.",
    }
    return {
        "apiVersion": "meta.pkg.crossplane.io/v1",
        "kind": "Configuration",
        "metadata": {"name": "configuration-asya", "annotations": described},
        "spec": {"crossplane": function["spec"]["crossplane"], "dependsOn": dependencies()},
    }


def dependencies() -> list[Manifest]:
    """Return the packages that must be there too, with versions as the chart pins them.

    The function is of the same release, as its input is; a provider may be newer within its major version.
    """
    values = _yaml(CHART / "values.yaml")
    found = [_dependency("Function", values["function"]["package"]["repository"], f"={version()}")]
    for cloud, names in provider_names().items():
        settings = values["providers"][cloud]
        major = int(settings["version"].removeprefix("v").partition(".")[0])
        constraint = f">={settings['version']}, <v{major + 1}.0.0"
        found += [_dependency("Provider", f"{settings['repository']}/{name}", constraint) for name in names]
    return found


def activation_policy() -> Manifest:
    """Return the policy that activates the managed resources which are composed, and no others."""
    return {
        "apiVersion": "apiextensions.crossplane.io/v1alpha1",
        "kind": "ManagedResourceActivationPolicy",
        "metadata": {"name": "asya"},
        "spec": {"activate": activated()},
    }


def composition() -> str:
    """Return the composition as the package has it.

    Crossplane names a function that it installs as a dependency after the path of its repository, so that is its name
    here. (Source: crossplane-runtime, pkg/xpkg/name.go, ToDNSLabel.)
    """
    repository = _yaml(CHART / "values.yaml")["function"]["package"]["repository"]
    name = re.sub(r"[./:]", "-", repository.partition("/")[2])
    found, changes = re.subn(
        r"(functionRef:\n\s+name: )function-asya$", rf"\1{name}", COMPOSITION.read_text(), flags=re.M
    )
    if changes != 1:
        raise ValueError(f"{COMPOSITION} has not one step with the function function-asya: teach {__file__}")
    return found


def assemble(folder: Path) -> tuple[Path, Path]:
    """Write the roots of both packages into `folder` and return them: the Configuration's and the Function's."""
    root = folder / "configuration"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, text in generated().items():
        (root / path.name).write_text(text)
    (root / "xrd.yaml").write_text(XRD.read_text())
    (root / "composition.yaml").write_text(composition())
    return root, FUNCTION


def _dependency(kind: str, package: str, constraint: str) -> Manifest:
    return {"apiVersion": "pkg.crossplane.io/v1", "kind": kind, "package": package, "version": constraint}


def _yaml(path: Path) -> Manifest:
    found: Manifest = yaml.safe_load(path.read_text())
    return found


def _text(content: Manifest) -> str:
    return _HEAD + yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)
