"""What a started sidecar has loaded: the library of its own broker, and nobody else's."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tests.support.mesh import environment
from tests.support.processes import Process, until
from tests.support.rabbitmq import free_port

LIBRARIES = {"botocore", "boto3", "urllib3", "grpc", "google.protobuf", "google.auth", "redis", "aio_pika", "pamqp"}
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.mark.parametrize(
    ("transport", "own", "settings"),
    [
        ("sqlite", set(), {"ASYA_SQLITE_PATH": "{folder}/queue"}),
        ("rabbitmq", {"pamqp"}, {"ASYA_RABBITMQ_URL": "amqp://127.0.0.1:{port}"}),
        (
            "sqs",
            {"botocore", "urllib3"},
            {"ASYA_AWS_REGION": "eu-west-1", "ASYA_SQS_ENDPOINT": "http://127.0.0.1:{port}", **_CREDENTIALS},
        ),
        (
            "pubsub",
            {"grpc", "google.protobuf"},
            {"ASYA_PUBSUB_PROJECT_ID": "p", "ASYA_PUBSUB_ENDPOINT": "127.0.0.1:{port}"},
        ),
    ],
)
async def test_only_the_library_of_its_broker(
    transport: str, own: set[str], settings: dict[str, str], tmp_path: Path
) -> None:
    # Nobody listens there: it has loaded all it needs when it says so. On SQLite it says that there is no queue.
    port = free_port()
    given = {name: value.format(folder=tmp_path, port=port) for name, value in settings.items()}
    common = {"ASYA_TRANSPORT": transport, "ASYA_NAMESPACE": "n", "ASYA_ACTOR_NAME": "a"}
    sidecar = Process(
        "sidecar",
        [sys.executable, "-X", "importtime", "-m", "asya_sidecar"],
        environment(common, {"ASYA_SOCKET_DIR": str(tmp_path)}, given),
        tmp_path / "log",
        restart=False,
    )
    await sidecar.start()
    try:
        await until(lambda: '"level":"warning"' in sidecar.log.read_text(), within=60, what=lambda: sidecar.tail())
    finally:
        await sidecar.stop()
    loaded = set(_IMPORTED.findall(sidecar.log.read_text()))
    assert f"asya.transports.{transport}.transport" in loaded, sidecar.tail()
    assert LIBRARIES & loaded == own
