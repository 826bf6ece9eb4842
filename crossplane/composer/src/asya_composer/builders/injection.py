"""What is put into the pods of a workload that somebody else owns: a ConfigMap that the operator's webhook reads.

Data ``pod.json`` is an object of `labels`, `initContainers` (the sidecar), `volumes`, `runtimeEnv` (variables of the
stock handler's container) and `workload` (how the workload is called).
"""

from __future__ import annotations

import json

from asya_composer import kinds, names
from asya_composer.builders import containers, environment
from asya_composer.builders.deployment import CHECKSUM, checksum
from asya_composer.builders.environment import dump
from asya_composer.builders.selection import own_pods
from asya_composer.model import Context, PodAccess, Resource
from asya_composer.objects import by_existence, make

KEY = "injection"
FILE = "pod.json"


def injection(context: Context, access: PodAccess) -> Resource:
    """Return the ConfigMap."""
    reference = context.actor.spec.workload_ref
    pod = {
        "labels": {**access.labels, **own_pods(context)},
        "initContainers": [containers.sidecar(context, access)],
        "volumes": containers.volumes(context, access),
        "runtimeEnv": environment.handler(context),
        "workload": None if reference is None else dump(reference),
    }
    manifest = make(context, kinds.CONFIG_MAP, names.workload(context), annotations={CHECKSUM: checksum(pod)})
    manifest["data"] = {FILE: json.dumps(pod, sort_keys=True)}
    return by_existence(KEY, "workload", manifest, context.observed)
