"""An AWS whose queues and roles are made as they are composed, and that authorises each call by the roles' policies."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer
from tests.compose.cloud.actors import composed, context, queues_at_work, settings
from tests.support.moto_iam import teach

from asya_composer.model import Context, Manifest
from asya_composer.settings import Settings

REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""moto's own."""
_NEVER = "1000000000"
"""Calls before authorisation begins."""
_ROOT = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


@dataclass
class Aws:
    """The server, as its administrator sees it."""

    endpoint: str
    platform: Settings = field(default_factory=lambda: settings("sqs"))

    def client(self, service: str, **credentials: str) -> Any:
        """A client of boto3; the administrator's without credentials."""
        once = Config(retries={"total_max_attempts": 1})
        given = credentials or _ROOT
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, config=once, **given)

    @contextmanager
    def authorising(self) -> Iterator[None]:
        """Within, only those act whose policies allow it."""
        self._post("reset-auth", "0")
        try:
            yield
        finally:
            self._post("reset-auth", _NEVER)

    def reset(self) -> None:
        """Forget everything."""
        self._post("reset-auth", _NEVER)
        self._post("reset", "")

    def actor(self, namespace: str, name: str) -> Context:
        """An actor whose queues are there."""
        first = context("sqs", name, namespace=namespace, platform=self.platform)
        return context("sqs", name, namespace=namespace, platform=self.platform, observed=queues_at_work(first))

    def wanted(self, namespace: str, name: str) -> dict[str, Manifest]:
        """`forProvider` of what is composed for an actor."""
        found = composed(self.actor(namespace, name))
        return {key: each.manifest["spec"]["forProvider"] for key, each in found.items()}

    def make(self, namespace: str, name: str) -> None:
        """Do what the providers do with the actor's objects."""
        wanted = self.wanted(namespace, name)
        sqs, urls = self.client("sqs"), {}
        for key in ("dead-letter-queue", "queue"):
            queue = wanted[key]
            attributes = {
                "VisibilityTimeout": str(queue["visibilityTimeoutSeconds"]),
                "MessageRetentionPeriod": str(queue["messageRetentionSeconds"]),
                "ReceiveMessageWaitTimeSeconds": "0",
                **({"FifoQueue": "true"} if queue.get("fifoQueue") else {}),
            }
            urls[key] = sqs.create_queue(QueueName=queue["name"], Attributes=attributes, tags=queue["tags"])["QueueUrl"]
        redrive = wanted["redrive-policy"]["redrivePolicy"]
        sqs.set_queue_attributes(QueueUrl=urls["queue"], Attributes={"RedrivePolicy": redrive})
        allow = wanted["redrive-allow-policy"]["redriveAllowPolicy"]
        sqs.set_queue_attributes(QueueUrl=urls["dead-letter-queue"], Attributes={"RedriveAllowPolicy": allow})
        role, iam = self._role(namespace, name), self.client("iam")
        iam.create_role(
            RoleName=role, Path=wanted["role"]["path"], AssumeRolePolicyDocument=wanted["role"]["assumeRolePolicy"]
        )
        iam.put_role_policy(RoleName=role, PolicyName="queues", PolicyDocument=wanted["role-policy"]["policy"])

    def keys(self, namespace: str, name: str) -> Mapping[str, str]:
        """What the actor's pod signs with, as boto3's clients take it."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/asya/{self._role(namespace, name)}"
        taken = self.client("sts").assume_role_with_web_identity(
            RoleArn=arn, RoleSessionName=name, WebIdentityToken="token-of-the-pod"
        )["Credentials"]
        return {
            "aws_access_key_id": taken["AccessKeyId"],
            "aws_secret_access_key": taken["SecretAccessKey"],
            "aws_session_token": taken["SessionToken"],
        }

    def as_actor(self, namespace: str, name: str) -> Any:
        """SQS as the actor's pod sees it."""
        return self.client("sqs", **self.keys(namespace, name))

    def _role(self, namespace: str, name: str) -> str:
        manifest = composed(self.actor(namespace, name))["role"].manifest
        external: str = manifest["metadata"]["annotations"]["crossplane.io/external-name"]
        return external

    def _post(self, path: str, body: str) -> None:
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.endpoint}/moto-api/{path}", body.encode(), plain, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


@contextmanager
def running(actors: Iterable[tuple[str, str]], platform: Settings | None = None) -> Iterator[Aws]:
    """Serve, with everything of `actors` (namespace and name) made; moto's state is the process's."""
    teach()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        found = Aws(f"http://{host}:{port}", platform or settings("sqs"))
        found.reset()
        for namespace, name in actors:
            found.make(namespace, name)
        yield found
        found.reset()
    finally:
        server.stop()
