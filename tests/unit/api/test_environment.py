"""What an actor means to its two processes: each variable is one that the process reads, with the value given."""

from __future__ import annotations

import ast
import inspect

import pytest

import asya_runtime
from asya.api import AsyncActor, parse_manifests, references, runtime_environment, sidecar_environment
from asya.api.rules_pod import SIDECAR_FIELDS, SIDECAR_PLATFORM
from asya.policy import CircuitBreaker, Protection, RateLimit
from asya.settings import load, variables
from asya_sidecar.settings import SidecarSettings

FULL = """
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata: {name: object-name, namespace: pictures}
spec:
  actor: upscale
  image: upscale:1
  handler: models.Upscaler.process
  runtime: {workers: 3, concurrency: 7, batch: {size: 16, wait: 20ms}, pipeline: 2, logLevel: debug}
  sidecar:
    concurrency: 4
    prefetch: 8
    env: [{name: ASYA_LOG_LEVEL, value: warning}, {name: ASYA_MAX_HOPS, value: "50"}]
  resiliency:
    actorTimeout: 90s
    policies:
      default: {maxAttempts: 4, backoff: linear, initialInterval: 2s, maxInterval: 1m, maxDuration: 1h, jitter: false}
      gpu: {maxAttempts: 2, onExhausted: [human-review]}
    rules: [{errors: [torch.cuda.OutOfMemoryError, MemoryError], policy: gpu}]
    nonRetryableErrors: [ValueError]
    rateLimit: {rate: 90/m, burst: 20, scope: actor}
    circuitBreaker:
      {failures: 7, failureRatio: 0.5, minCalls: 10, window: 2m, openFor: 10s, maxOpenFor: 1m, probes: 2,
       errors: [OSError]}
    destinations:
      search: {rateLimit: {rate: 5/s, burst: 3}}
      store: {circuitBreaker: {failures: 2, openFor: 5s}}
  terminationGracePeriodSeconds: 120
  env:
  - {name: MODEL, value: big}
  - {name: EMPTY}
  - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  envFrom: [{secretRef: {name: s3}}, {configMapRef: {name: tuning}}]
  secretRefs: [{secretName: hub, keys: [{key: token, envVar: HF_TOKEN}]}]
"""
SMALL = """
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata: {name: a}
spec: {image: i, handler: h.f}
"""


def actor(text: str) -> AsyncActor:
    manifests = parse_manifests(text)
    assert manifests.problems == []
    return manifests.actors[0]


def test_the_sidecar_reads_what_the_manifest_says() -> None:
    rendered = sidecar_environment(actor(FULL), namespace="pictures", transport="sqlite", socket_dir="/run/a")
    settings = load(SidecarSettings, rendered)
    assert (settings.actor, settings.transport.namespace, settings.transport.transport) == (
        "upscale",
        "pictures",
        "sqlite",
    )
    assert (settings.concurrency, settings.prefetch, settings.max_hops, settings.log_level) == (4, 8, 50, "warning")
    assert str(settings.socket_dir) == "/run/a"
    assert settings.resiliency.resiliency() == actor(FULL).resiliency()
    assert settings.drain_timeout == 119.0, "a second before the pod is killed"


def test_protection_reaches_the_sidecar_field_by_field() -> None:
    rendered = sidecar_environment(actor(FULL), namespace="pictures", transport="sqlite", socket_dir="/run/a")
    resiliency = load(SidecarSettings, rendered).resiliency.resiliency()
    assert resiliency.protection == Protection(
        rate_limit=RateLimit(rate=0.15, burst=2),  # a tenth for each of ten replicas
        circuit_breaker=CircuitBreaker(
            failures=7, failure_ratio=0.5, min_calls=10, window=120.0, open_for=10.0, max_open_for=60.0, probes=2,
            errors=("OSError",),
        ),
    )  # fmt: skip
    assert resiliency.destinations == {
        "search": Protection(rate_limit=RateLimit(rate=5.0, burst=3)),
        "store": Protection(circuit_breaker=CircuitBreaker(failures=2, open_for=5.0)),
    }


def test_a_rate_for_the_whole_actor_is_shared_by_as_many_replicas_as_there_can_be() -> None:
    def rate(scaling: str) -> float:
        text = SMALL.replace("h.f}", f"h.f, resiliency: {{rateLimit: {{rate: 12/s, scope: actor}}}}, {scaling}}}")
        limit = actor(text).resiliency().protection.rate_limit
        assert limit is not None
        return limit.rate

    assert rate("scaling: {maxReplicaCount: 4}") == 3.0
    assert rate("scaling: {enabled: false}, replicas: 3") == 4.0
    assert rate("scaling: {enabled: false}, replicas: 0") == 12.0


def test_a_small_manifest_leaves_the_sidecar_its_defaults() -> None:
    settings = load(
        SidecarSettings, sidecar_environment(actor(SMALL), namespace="n", transport="rabbitmq", socket_dir="/s")
    )
    assert (settings.concurrency, settings.prefetch, settings.resiliency.policies) == (None, None, None)
    assert settings.drain_timeout == settings.resiliency.actor_timeout == 300.0
    assert settings.resiliency.resiliency() == actor(SMALL).resiliency()


@pytest.mark.parametrize("text", [FULL, SMALL])
def test_the_sidecar_knows_every_variable(text: str) -> None:
    known = {variable.name for _, variable in variables(SidecarSettings)}
    assert sidecar_environment(actor(text), namespace="n", transport="sqlite", socket_dir="/s").keys() <= known


def test_reserved_variables_of_the_sidecar_exist() -> None:
    known = {variable.name for _, variable in variables(SidecarSettings)}
    assert SIDECAR_FIELDS.keys() | set(SIDECAR_PLATFORM) <= known


def test_the_runtime_reads_what_the_manifest_says() -> None:
    settings = asya_runtime.Settings(runtime_environment(actor(FULL), socket_dir="/run/a", handler_path=["/x", "/y"]))
    assert settings.handler == "models.Upscaler.process"
    assert (settings.handler_path, settings.socket_dir) == (["/x", "/y"], "/run/a")
    assert (settings.workers, settings.async_concurrency, settings.pipeline) == (3, 7, 2)
    assert (settings.batch_size, settings.batch_wait) == (16, 0.02)
    assert settings.log_level == 10


def test_defaults_of_the_manifest_are_the_runtimes_own() -> None:
    bare = vars(asya_runtime.Settings({"ASYA_HANDLER": "h.f", "ASYA_SOCKET_DIR": "/s"}))
    rendered = vars(asya_runtime.Settings(runtime_environment(actor(SMALL), socket_dir="/s")))
    assert rendered == bare


def test_the_runtime_knows_every_variable_and_the_manifest_gives_each() -> None:
    rendered = {
        name for name in runtime_environment(actor(FULL), socket_dir="/s", handler_path=["/x"]) if "ASYA_" in name
    }
    tree = ast.parse(inspect.getsource(asya_runtime.Settings).strip())
    read = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        if str(node.args[0].value).startswith("ASYA_")
    }
    # Where a pod takes last words from is Kubernetes' to say, not the manifest's.
    assert rendered == read - {"ASYA_TERMINATION_LOG"}


def test_variables_of_the_manifest_reach_the_handler_and_cannot_replace_ours() -> None:
    rendered = runtime_environment(actor(FULL), socket_dir="/s")
    assert (rendered["MODEL"], rendered["EMPTY"]) == ("big", "")
    assert "NODE" not in rendered


def test_what_only_a_cluster_can_supply_is_named() -> None:
    assert references(actor(FULL)) == ["NODE", "HF_TOKEN", "Secret/s3", "ConfigMap/tuning"]
    assert references(actor(SMALL)) == []
