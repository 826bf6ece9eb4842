"""The composer and the two processes agree on variables: each that is rendered is read, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.compose.calls import ROOT, Manifest, actor, at_work, call, platform
from tests.compose.cloud.actors import PUBSUB, SQS

from asya.settings import load, misspelt, variables
from asya_sidecar.settings import SidecarSettings

PLATFORM = {
    "gateway": {"url": "http://gateway.asya-system.svc:8081", "token": {"name": "gateway", "key": "token"}},
    "tracing": {"endpoint": "http://collector.otel.svc:4317"},
}
FULL = actor(
    resiliency={
        "actorTimeout": "10m",
        "policies": {"default": {"maxAttempts": 3}},
        "rules": [{"errors": ["ValueError"], "policy": "default"}],
        "nonRetryableErrors": ["KeyError"],
        "rateLimit": {"rate": "10/s"},
        "destinations": {"other": {"rateLimit": {"rate": "1/s"}}},
    },
    sidecar={"concurrency": 2, "prefetch": 4, "env": [{"name": "ASYA_MAX_HOPS", "value": "10"}]},
    runtime={"batch": {"size": 4}},
)
# Of the actor's own choice, by spec.sidecar.env; the platform has no opinion.
ON_REQUEST = {
    "ASYA_CUSTOM_METRICS",
    "ASYA_DESTINATION_WAIT",
    "ASYA_LOG_LEVEL",
    "ASYA_MAX_ROUTE",
    "ASYA_PARKED_BYTES",
    "ASYA_REPORT_HOSTS",
    "ASYA_TRACING_HEADERS",
    "ASYA_TRACING_SAMPLE_RATIO",
    "ASYA_RABBITMQ_ENGINE",
    "ASYA_RABBITMQ_HEARTBEAT",
    "ASYA_RABBITMQ_MAX_MESSAGE_BYTES",
}
# No business of a pod: another transport, one machine, or what the broker's objects have decided already.
NOT_IN_PODS = {
    "ASYA_CREW_NAMESPACE": "on RabbitMQ the namespace's exchange leads to the crew",
    "ASYA_RABBITMQ_URL": "would hold the password",
    "ASYA_RABBITMQ_EXCHANGE": "is the namespace's",
    "ASYA_RABBITMQ_QUEUE_TYPE": "the queue is declared by its object",
    "ASYA_RABBITMQ_MANAGEMENT_URL": "for tools, which look at queues",
    "ASYA_RABBITMQ_CERT": "the actor's user has a password",
    "ASYA_RABBITMQ_KEY": "the actor's user has a password",
    "ASYA_TERMINATION_LOG": "the path is Kubernetes' own default",
}


def rabbitmq(**changes: object) -> Manifest:
    found = platform(**PLATFORM)
    found["transports"]["rabbitmq"] |= {"ca": {"name": "rabbitmq-ca", "key": "ca.crt"}, "tls": True, **changes}
    return found


def rendered(composite: Manifest, settings: Manifest, name: str) -> dict[str, str]:
    answer = at_work(composite, settings)
    assert not answer.refused, answer.refused
    deployment = next(each for each in answer.resources.values() if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    containers = {each["name"]: each for each in [*pod["initContainers"], *pod["containers"]]}
    return {entry["name"]: entry.get("value", "by-reference") for entry in containers[name]["env"]}


def of_other_transports(name: str) -> bool:
    return re.match(r"ASYA_(SQLITE|REDIS|SQS|AWS|PUBSUB|GCP)_", name) is not None or not name.startswith("ASYA_")


def test_the_sidecar_reads_each_variable_that_is_rendered() -> None:
    found = rendered(FULL, rabbitmq(), "asya-sidecar")
    known = {variable.name for _, variable in variables(SidecarSettings)}
    assert set(found) <= known
    assert not misspelt(SidecarSettings, found)


def test_each_variable_of_the_sidecar_is_rendered_or_has_a_reason() -> None:
    found = rendered(FULL, rabbitmq(), "asya-sidecar")
    known = {variable.name for _, variable in variables(SidecarSettings) if not of_other_transports(variable.name)}
    assert known - set(found) == ON_REQUEST | NOT_IN_PODS.keys()


# What each cloud's platform may set, and what of the sidecar's settings only an actor does.
CLOUDS = {
    "sqs": (
        {
            **SQS,
            "endpoint": "http://aws.test:4566",
            "maxMessageBytes": 262_144,
            "fifo": True,
            "claimCheck": {"bucket": "asya-bodies", "maxBytes": 1_000_000, "endpoint": "http://s3.test:9000"},
        },
        {"ASYA_SQS_LEASE", "ASYA_SQS_MAX_ATTEMPTS", "ASYA_SQS_WAIT"},
    ),
    "pubsub": (
        {**PUBSUB, "endpoint": "emulator.test:8085", "ordered": True},
        {"ASYA_PUBSUB_LEASE", "ASYA_PUBSUB_MAX_MESSAGE_BYTES", "ASYA_PUBSUB_RECEIVE"},
    ),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_variable_of_a_cloud_is_rendered_or_the_actors_choice(cloud: str) -> None:
    own, on_request = CLOUDS[cloud]
    settings = platform(transports={cloud: own}, defaultTransport=cloud, crewNamespace="mesh")
    found = rendered(actor(transport=cloud), settings, "asya-sidecar")
    known = {variable.name for _, variable in variables(SidecarSettings)}
    assert set(found) <= known
    of_it = {name for name in known if re.match(rf"ASYA_({cloud.upper()}|{'AWS' if cloud == 'sqs' else 'GCP'})_", name)}
    assert of_it - set(found) == on_request
    read = load(SidecarSettings, found)
    assert read.transport.crew_namespace == "mesh"
    if cloud == "sqs":
        sqs = read.transport.sqs
        assert (sqs.message_bytes, sqs.fifo, sqs.claim_bucket, sqs.claim_prefix, sqs.claim_bytes) == (
            262_144,
            True,
            "asya-bodies",
            "asya/",
            1_000_000,
        )


def test_the_sidecar_takes_the_values() -> None:
    settings = load(SidecarSettings, rendered(FULL, rabbitmq(), "asya-sidecar"))
    assert settings.actor == "resize"
    assert settings.socket_mode == 0o660
    assert settings.resiliency.actor_timeout == 600.0
    assert settings.resiliency.resiliency().protects
    assert (settings.concurrency, settings.prefetch, settings.max_hops) == (2, 4, 10)
    assert settings.health_address == settings.metrics_address == ("", 8081)
    assert settings.transport.rabbitmq.hosts == ("rabbitmq.asya-system.svc",)
    assert settings.transport.rabbitmq.tls
    assert settings.transport.rabbitmq.ca_file == Path("/etc/asya/rabbitmq/ca.crt")
    assert settings.tracing.on


@pytest.mark.parametrize("composite", [FULL, actor()], ids=["full", "minimal"])
def test_the_runtime_reads_what_is_rendered_for_it(composite: Manifest) -> None:
    import asya_runtime

    found = rendered(composite, platform(), "asya-runtime")
    source = (ROOT / "sidecar" / "runtime" / "asya_runtime.py").read_text()
    assert set(found) <= set(re.findall(r'read\(\s*"(ASYA_[A-Z_]+)"', source))
    settings = asya_runtime.Settings(found)
    assert settings.handler == "resize.process"
    assert settings.batch_size == (4 if composite is FULL else 1)


def test_where_the_files_are_is_where_they_are_looked_for() -> None:
    moved = platform(runtimeFolder="/opt/elsewhere", socketFolder="/run/elsewhere")
    answer = call(actor(), moved)
    pod = answer.resources["rabbitmq-deployment"]["spec"]["template"]["spec"]
    (sidecar,), (runtime,) = pod["initContainers"], pod["containers"]
    assert sidecar["args"] == ["serve", "--install", "/opt/elsewhere"]
    assert runtime["command"] == ["python3", "/opt/elsewhere/asya_runtime.py"]
    for each in (sidecar, runtime):
        mounts = {mount["name"]: mount["mountPath"] for mount in each["volumeMounts"]}
        assert mounts == {"asya-sockets": "/run/elsewhere", "asya-runtime": "/opt/elsewhere"}
        assert {"name": "ASYA_SOCKET_DIR", "value": "/run/elsewhere"} in each["env"]
