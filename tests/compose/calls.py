"""Calling the function as Crossplane does: one request, again with what it asked for, until it asks no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from crossplane.function.proto.v1 import run_function_pb2 as fnv1

from asya_composer.conditions import REFUSED
from asya_composer.function import run
from asya_composer.structs import plain, to_struct

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
"""Crossplane's own limit."""

Manifest = dict[str, Any]


def platform(**changes: Any) -> Manifest:
    """The input that the repository's composition carries, with `changes` at its top."""
    composition = yaml.safe_load((ROOT / "compositions" / "asyncactors.yaml").read_text())
    found: Manifest = composition["spec"]["pipeline"][0]["input"]
    return {**found, **changes}


def actor(name: str = "resize", *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Manifest:
    """A composite as Crossplane hands it over."""
    return {
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {"name": name, "namespace": "shop", "generation": 3, "uid": "4711", **(metadata or {})},
        "spec": {"image": "ghcr.io/example/resize:1.4.0", "handler": "resize.process", **spec},
    }


@dataclass
class Answer:
    """What the function said, as plain values."""

    response: fnv1.RunFunctionResponse
    resources: dict[str, Manifest] = field(init=False)
    ready: dict[str, bool] = field(init=False)
    conditions: dict[str, tuple[str, str, str]] = field(init=False)

    def __post_init__(self) -> None:
        desired = self.response.desired
        self.resources = {key: plain(each.resource) for key, each in desired.resources.items()}
        self.ready = {key: each.ready == fnv1.READY_TRUE for key, each in desired.resources.items()}
        self.conditions = {
            each.type: (fnv1.Status.Name(each.status).rpartition("_")[2].title(), each.reason, each.message)
            for each in self.response.conditions
        }

    @property
    def status(self) -> Manifest:
        found: Manifest = plain(self.response.desired.composite.resource).get("status", {})
        return found

    @property
    def fatal(self) -> list[str]:
        return [each.message for each in self.response.results if each.severity == fnv1.SEVERITY_FATAL]

    @property
    def refused(self) -> list[str]:
        """Why nothing may be changed, empty where something may."""
        return self.fatal or [message for _, reason, message in self.conditions.values() if reason == REFUSED]

    @property
    def warnings(self) -> list[str]:
        return [each.message for each in self.response.results if each.severity == fnv1.SEVERITY_WARNING]


def call(
    composite: Manifest,
    settings: Manifest | None = None,
    *,
    observed: Mapping[str, Manifest] | None = None,
    cluster: Iterable[Manifest] = (),
    exchange: bool = True,
) -> Answer:
    """Run the function against a `cluster` of objects until it asks for the same twice.

    With `exchange`, the namespace's is there, as x-sink makes it, unless the cluster has one.
    """
    cluster = list(cluster)
    request = fnv1.RunFunctionRequest()
    request.observed.composite.resource.CopyFrom(to_struct(composite))
    request.input.CopyFrom(to_struct(platform() if settings is None else settings))
    for key, manifest in (observed or {}).items():
        request.observed.resources[key].resource.CopyFrom(to_struct(manifest))
    asked: dict[str, bytes] | None = None
    for _ in range(ROUNDS):
        response = run(request)
        now = {name: each.SerializeToString() for name, each in response.requirements.resources.items()}
        if now == asked:
            return Answer(response)
        asked = now
        request.ClearField("required_resources")
        for name, selector in response.requirements.resources.items():
            items = request.required_resources[name].items
            found = [manifest for manifest in cluster if _matches(selector, manifest)]
            if exchange and selector.kind == "Exchange" and selector.HasField("match_name") and not found:
                found = [exchange_called(selector.match_name, selector.namespace)]
            for manifest in found:
                items.add().resource.CopyFrom(to_struct(manifest))
    raise AssertionError(f"it still asks for something new after {ROUNDS} rounds")


def exchange_called(name: str, namespace: str, *, uid: str = "1", ready: bool = True) -> Manifest:
    """An object of x-sink's that makes an exchange."""
    return {
        "apiVersion": "rabbitmq.com/v1beta1",
        "kind": "Exchange",
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "status": {"conditions": [_true("Ready")] if ready else []},
    }


def at_work(composite: Manifest, settings: Manifest | None = None, *, cluster: Iterable[Manifest] = ()) -> Answer:
    """What the function says once all it waited for is there."""
    cluster = list(cluster)
    return call(composite, settings, observed=settled(composite, settings, cluster=cluster), cluster=cluster)


def _matches(selector: fnv1.ResourceSelector, manifest: Manifest) -> bool:
    metadata = manifest["metadata"]
    if (manifest["apiVersion"], manifest["kind"]) != (selector.api_version, selector.kind):
        return False
    if selector.namespace and metadata.get("namespace") != selector.namespace:
        return False
    if selector.HasField("match_name"):
        return bool(metadata["name"] == selector.match_name)
    labels = metadata.get("labels", {})
    return all(labels.get(name) == value for name, value in selector.match_labels.labels.items())


def settled(
    composite: Manifest, settings: Manifest | None = None, *, cluster: Iterable[Manifest] = ()
) -> dict[str, Manifest]:
    """What a cluster shows once everything that waited for something else is there too."""
    there, observed = list(cluster), dict[str, Manifest]()
    for _ in range(2 * ROUNDS):
        answer = call(composite, settings, observed=observed, cluster=[*there, *observed.values()])
        assert not answer.refused, answer.refused
        before, observed = observed, as_observed(answer)
        if observed == before:
            return observed
    raise AssertionError("it composes something else each time")


def as_observed(answer: Answer) -> dict[str, Manifest]:
    """What a cluster shows once every controller has done its work."""
    return {key: _at_work(manifest) for key, manifest in answer.resources.items()}


def _at_work(manifest: Manifest) -> Manifest:
    metadata = {**manifest["metadata"], "uid": "1", "resourceVersion": "7", "generation": 1}
    metadata["managedFields"] = _managed_fields(manifest)
    found: Manifest = {**manifest, "metadata": metadata}
    match manifest["kind"]:
        case "Deployment":
            replicas = manifest["spec"].get("replicas", 0)  # what KEDA has set
            found["spec"] = {**manifest["spec"], "replicas": replicas}
            found["status"] = {"observedGeneration": 1}
            if replicas:
                found["status"] |= {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}
        case "NetworkPolicy" | "PodDisruptionBudget" | "TriggerAuthentication" | "PodMonitor":
            pass
        case "ServiceAccount" if manifest["apiVersion"] == "v1":
            pass
        case "ScaledObject":
            found["status"] = {"conditions": [_true("Ready"), {"type": "Active", "status": "False"}]}
        case _:
            found["status"] = {"conditions": [_true("Ready"), _true("Synced")], "atProvider": _at_provider(manifest)}
            if (manifest["apiVersion"], manifest["kind"]) == ("rabbitmq.com/v1beta1", "User"):
                found["status"]["username"] = username(manifest["metadata"]["name"])
    return found


CROSSPLANE = "apiextensions.crossplane.io/composed/0123456789abcdef"


def _managed_fields(manifest: Manifest) -> list[Manifest]:
    """Who owns what: Crossplane what it has applied; an autoscaler the number of replicas, where that is missing."""
    metadata, spec = manifest["metadata"], manifest.get("spec", {})
    own: Manifest = {
        f"f:{part}": {f"f:{name}": {} for name in metadata.get(part, {})} for part in ("labels", "annotations")
    }
    fields: Manifest = {"f:metadata": own, "f:spec": {f"f:{name}": {} for name in spec}}
    entries = [{"manager": CROSSPLANE, "operation": "Apply", "fieldsV1": fields}]
    if manifest["kind"] == "Deployment" and "replicas" not in spec:
        scaled: Manifest = {"f:spec": {"f:replicas": {}}}
        entries.append({"manager": "keda", "operation": "Update", "subresource": "scale", "fieldsV1": scaled})
    return entries


def _at_provider(manifest: Manifest) -> Manifest:
    """What only the cloud knows about an object, which others must name."""
    match manifest["apiVersion"].partition("/")[0], manifest["kind"]:
        case "sqs.aws.m.upbound.io", "Queue":
            name, region = manifest["spec"]["forProvider"]["name"], manifest["spec"]["forProvider"]["region"]
            return {
                "arn": f"arn:aws:sqs:{region}:123456789012:{name}",
                "url": f"https://sqs.{region}.amazonaws.com/123456789012/{name}",
            }
        case "cloudplatform.gcp.m.upbound.io", "ServiceAccount":
            account = manifest["metadata"]["annotations"]["crossplane.io/external-name"]
            email = f"{account}@example-project.iam.gserviceaccount.com"
            return {"email": email, "member": f"serviceAccount:{email}", "name": f"projects/-/serviceAccounts/{email}"}
        case _:
            return {}


def username(user: str) -> str:
    """What the operator makes up for a User."""
    return f"made-up-for-{user}"


def _true(kind: str) -> Manifest:
    return {"type": kind, "status": "True", "reason": "Available"}
