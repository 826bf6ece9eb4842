"""KEDA's own manifests as a Helm chart: what `make chart-deps` takes where KEDA's chart repository cannot be reached.

The manifests are those of KEDA's Go module, pinned in `versions.toml`. The chart has the name of the official one and
the values of it that this repository sets; any other value is refused by its schema, never ignored.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

NAMESPACE = "keda"
# Container -> its part of `image` in the official chart's values.
IMAGES = {
    "keda-operator": "keda",
    "keda-metrics-apiserver": "metricsApiServer",
    "keda-admission-webhooks": "webhooks",
}
_MARK = "@@{}@@"
_NAMESPACE, _VERSION, _POLICY = (_MARK.format(word) for word in ("namespace", "version", "policy"))
_IMAGE = "{{ with .Values.image.%s }}{{ .registry }}/{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}"
_TEXTS = {
    _NAMESPACE: "{{ .Release.Namespace }}",
    _VERSION: "{{ .Chart.AppVersion }}",
    _POLICY: "{{ .Values.image.pullPolicy }}",
    **{_MARK.format(part): _IMAGE.replace("%s", part) for part in IMAGES.values()},
}
_IDENTITY = """\
  {{- if or .Values.podIdentity.aws.irsa.enabled .Values.podIdentity.gcp.enabled }}
  annotations:
    {{- with .Values.podIdentity.aws.irsa }}
    {{- if .enabled }}
    eks.amazonaws.com/role-arn: {{ .roleArn | quote }}
    eks.amazonaws.com/audience: {{ .audience | quote }}
    eks.amazonaws.com/sts-regional-endpoints: {{ .stsRegionalEndpoints | quote }}
    eks.amazonaws.com/token-expiration: {{ .tokenExpiration | quote }}
    {{- end }}
    {{- end }}
    {{- with .Values.podIdentity.gcp }}
    {{- if .enabled }}
    iam.gke.io/gcp-service-account: {{ .gcpIAMServiceAccount | quote }}
    {{- end }}
    {{- end }}
  {{- end }}
"""


class KedaChartError(ValueError):
    """The manifests are not what this packaging knows; the message says where."""


def chart(manifests: Iterable[dict[str, Any]], name: str, version: str) -> dict[str, str]:
    """Return path and text of each file of the chart.

    Args:
        manifests: What `kubectl kustomize config/default` of KEDA's module prints, parsed.
        name: The chart's name.
        version: The version of the chart and of KEDA, without v; the tag of its images unless a value says otherwise.

    Raises:
        KedaChartError: A container is unknown or one is missing.
    """
    images: dict[str, Any] = {}
    files: dict[str, str] = {}
    for manifest in manifests:
        kind, named = manifest["kind"], manifest["metadata"]["name"]
        if kind == "Namespace":
            continue  # the release's, made by whoever installs it
        if kind == "CustomResourceDefinition":
            text = "{{- if .Values.crds.install }}\n" + _escaped(_dumped(manifest)) + "{{- end }}\n"
            files[f"templates/crds/{named}.yaml"] = text
            continue
        files[f"templates/{kind.lower()}-{named.replace(':', '-')}.yaml"] = _template(manifest, images)
    if missing := sorted(set(IMAGES.values()) - images.keys()):
        raise KedaChartError(f"no container uses the image of {', '.join(missing)}")
    about = "KEDA's own manifests, packaged where its chart repository cannot be reached"
    metadata = {"apiVersion": "v2", "name": name, "version": version, "appVersion": version, "description": about}
    values = _values(images)
    files["Chart.yaml"] = _dumped({**metadata, "type": "application"})
    files["values.yaml"] = _dumped(values)
    files["values.schema.json"] = json.dumps(_schema(values), indent=2) + "\n"
    return files


def _template(manifest: dict[str, Any], images: dict[str, Any]) -> str:
    """Return a manifest as a template; what its containers run is added to `images`."""
    text = _escaped(_dumped(_marked(manifest, images)))
    if manifest["kind"] == "ServiceAccount":
        text = text.replace("metadata:\n", "metadata:\n" + _IDENTITY, 1)
    for mark, expression in _TEXTS.items():
        text = text.replace(mark, expression)
    return text


def _marked(value: object, images: dict[str, Any], key: str = "") -> object:
    """Return a copy with marks where the chart has values."""
    if isinstance(value, dict):
        if "image" in value:
            value = _container(value, images)
        return {word: _marked(part, images, word) for word, part in value.items()}
    if isinstance(value, list):
        return [_marked(part, images) for part in value]
    if key == "namespace" and value == NAMESPACE:
        return _NAMESPACE
    return _VERSION if key == "app.kubernetes.io/version" else value


def _container(container: dict[str, Any], images: dict[str, Any]) -> dict[str, Any]:
    part = IMAGES.get(container["name"])
    if part is None:
        raise KedaChartError(f"the container {container['name']} is unknown: {sorted(IMAGES)} are known")
    registry, _, rest = container["image"].partition("/")
    images[part] = {"registry": registry, "repository": rest.rpartition(":")[0], "tag": ""}
    return {**container, "image": _MARK.format(part), "imagePullPolicy": _POLICY}


def _values(images: dict[str, Any]) -> dict[str, Any]:
    irsa = {"enabled": False, "audience": "sts.amazonaws.com", "roleArn": ""}
    return {
        "crds": {"install": True},
        "image": {**images, "pullPolicy": "Always"},
        "podIdentity": {
            "aws": {"irsa": {**irsa, "stsRegionalEndpoints": "true", "tokenExpiration": 86400}},
            "gcp": {"enabled": False, "gcpIAMServiceAccount": ""},
        },
    }


def _schema(values: dict[str, Any]) -> dict[str, Any]:
    """Return a closed schema of values; `enabled` and `global` come from a chart that has this one as a dependency."""
    schema = _shape(values)
    schema["properties"] |= {"enabled": {"type": "boolean"}, "global": {"type": "object"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _shape(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        properties = {key: _shape(part) for key, part in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    return {"type": {bool: "boolean", int: "integer", str: "string"}[type(value)]}


def _dumped(value: object) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, width=1_000_000, allow_unicode=True)
    return text


def _escaped(text: str) -> str:
    """Return text that Helm's templates leave as it is: descriptions in CRDs quote templates."""
    return text.replace("{{", '{{ "{{" }}')


def keda_chart(folder: Path, *, name: str, version: str, source: Path, kubectl: str = "kubectl") -> Path:
    """Write the chart of KEDA's source into a folder below `folder` and return it.

    Raises:
        KedaChartError: kubectl cannot build the manifests, or they are not what this packaging knows.
        OSError: There is no kubectl.
    """
    command = [kubectl, "kustomize", str(source / "config" / "default")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KedaChartError(f"{' '.join(command)}: {done.stderr.strip()}")
    files = chart(yaml.safe_load_all(done.stdout), name, version)
    for path, text in files.items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_text(text)
    return folder / name
