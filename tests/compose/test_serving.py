"""The function as Crossplane meets it: a process, a port, gRPC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from crossplane.function.proto.v1 import run_function_pb2 as fnv1
from crossplane.function.proto.v1 import run_function_pb2_grpc as grpcv1
from tests.compose.calls import Answer, actor, platform
from tests.support.host import free_port

from asya_composer.structs import to_struct

SOON = 20.0


@pytest.fixture
def served() -> Iterator[grpc.Channel]:
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([sys.executable, "-m", "asya_composer.main", "--insecure", "--address", address])
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=SOON)
            yield channel
    finally:
        process.terminate()
        process.wait(SOON)


def test_an_actor_is_composed_over_grpc(served: grpc.Channel) -> None:
    request = fnv1.RunFunctionRequest(meta=fnv1.RequestMeta(tag="abc"))
    request.observed.composite.resource.CopyFrom(to_struct(actor()))
    request.input.CopyFrom(to_struct(platform()))

    answer = Answer(grpcv1.FunctionRunnerServiceStub(served).RunFunction(request, timeout=SOON))

    assert answer.response.meta.tag == "abc"
    assert answer.response.meta.ttl.seconds == 10, "bindings wait for their queue"
    assert answer.resources["rabbitmq-deployment"]["kind"] == "Deployment"
    assert not answer.refused


def test_a_request_without_anything_is_refused_in_words(served: grpc.Channel) -> None:
    answer = Answer(grpcv1.FunctionRunnerServiceStub(served).RunFunction(fnv1.RunFunctionRequest(), timeout=SOON))
    assert answer.fatal == ["metadata.namespace: missing; an actor lives in a namespace"]
    assert not answer.resources


def test_what_others_of_the_pipeline_wish_is_passed_on(served: grpc.Channel) -> None:
    request = fnv1.RunFunctionRequest()
    request.observed.composite.resource.CopyFrom(to_struct(actor()))
    request.input.CopyFrom(to_struct(platform()))
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}}
    request.desired.resources["theirs"].resource.CopyFrom(to_struct(theirs))
    answer = Answer(grpcv1.FunctionRunnerServiceStub(served).RunFunction(request, timeout=SOON))
    assert answer.resources["theirs"] == theirs


def test_a_namespace_may_have_a_thousand_actors(served: grpc.Channel) -> None:
    request = fnv1.RunFunctionRequest()
    request.observed.composite.resource.CopyFrom(to_struct(actor()))
    request.input.CopyFrom(to_struct(platform()))
    annotations = {"written": "x" * 8000}
    for number in range(1000):
        other = to_struct(actor(f"other-{number}", metadata={"annotations": annotations}))
        request.required_resources["actors"].items.add().resource.CopyFrom(other)
    assert request.ByteSize() > 8_000_000
    answer = Answer(grpcv1.FunctionRunnerServiceStub(served).RunFunction(request, timeout=SOON))
    assert answer.conditions["TransportMixed"][0] == "False"
    assert not answer.refused
