"""SQS and Pub/Sub as rows need them: servers of a lane's own, and how pods reach them."""

from __future__ import annotations

import os

from tests.support.moto_server import ACCOUNT, ENVIRONMENT, REGION, MotoServer
from tests.support.pubsub import Emulator, EmulatorUnavailableError
from tests.torture.aws_proxy import AwsProxy
from tests.torture.google_proxy import GoogleProxy
from tests.torture.line import LOOPBACK
from tests.torture.model import NotInstalledError

CloudProxy = AwsProxy | GoogleProxy
PROJECT = "asya-torture"


def sqs(namespace: str, port: int, host: str = LOOPBACK) -> dict[str, str]:
    """Settings of the SQS transport; short questions, because what a dead process asked for is waited out."""
    return {
        "ASYA_TRANSPORT": "sqs",
        "ASYA_NAMESPACE": namespace,
        "ASYA_AWS_REGION": REGION,
        "ASYA_SQS_ACCOUNT_ID": ACCOUNT,
        "ASYA_SQS_ENDPOINT": f"http://{host}:{port}",
        "ASYA_SQS_WAIT": "1s",
        **ENVIRONMENT,
    }


def pubsub(namespace: str, port: int, host: str, receive: str) -> dict[str, str]:
    """Settings of the Pub/Sub transport."""
    return {
        "ASYA_TRANSPORT": "pubsub",
        "ASYA_NAMESPACE": namespace,
        "ASYA_PUBSUB_PROJECT_ID": PROJECT,
        "ASYA_PUBSUB_ENDPOINT": f"{host}:{port}",
        "ASYA_PUBSUB_RECEIVE": receive,
    }


def start_sqs() -> MotoServer:
    """Start moto; blocks. From now on this process has credentials for it too."""
    os.environ.update(ENVIRONMENT)
    server = MotoServer()
    server.__enter__()
    return server


def start_pubsub() -> Emulator:
    """Start Google's emulator; blocks.

    Raises:
        NotInstalledError: It is not installed here.
    """
    try:
        emulator = Emulator()
        emulator.__enter__()
    except EmulatorUnavailableError as error:
        raise NotInstalledError(str(error)) from error
    return emulator
