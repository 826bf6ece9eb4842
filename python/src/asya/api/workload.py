"""`spec.workloadRef`: an actor whose work is done by a workload that somebody else owns."""

from __future__ import annotations

from typing import Literal

from asya.api.fields import Model, Subdomain, UrlPath
from asya.api.pod import Port

PODS_OWN = (
    "image", "handler", "imagePullPolicy", "imagePullSecrets", "pythonExecutable", "command", "args", "envFrom",
    "resources", "ports", "probes", "securityContext", "volumes", "volumeMounts", "initContainers", "sidecars",
    "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName", "runtimeClassName",
    "podSecurityContext", "podLabels", "podAnnotations", "hostAliases", "strategy", "stateProxy",
    "podDisruptionBudget", "networkPolicy",
)  # fmt: skip
"""Fields of `spec` that shape pods of the actor's own, and so do nothing to those of a workload."""


class WorkloadRef(Model):
    """A workload of the actor's namespace. The sidecar is put into its pods; it calls them over HTTP on loopback."""

    api_version: Literal["apps/v1"] = "apps/v1"
    """Group and version of the workload."""
    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    """Its kind."""
    name: Subdomain
    """Its name."""
    port: Port
    """Port that its container listens on."""
    protocol: Literal["json", "openai", "kserve-v2"] = "json"
    """How it is called: `json` posts the payload and takes the answer as the result, `openai` speaks an
    OpenAI-compatible API, `kserve-v2` the Open Inference Protocol."""
    path: UrlPath = "/"
    """Path that is called, the model's included."""
    health_path: UrlPath | None = None
    """Path that answers with a status below 400 when calls can be taken. When absent, an open port is enough."""
