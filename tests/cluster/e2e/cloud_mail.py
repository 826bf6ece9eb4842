"""Envelopes into the queues of a namespace that is on SQS or Pub/Sub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from unittest.mock import patch

from tests.cluster.clouds.aws_server import ACCOUNT
from tests.cluster.e2e.clouds import Clouds
from tests.cluster.e2e.install import PROJECT, SQS_REGION
from tests.cluster.e2e.mail import Mail, Payload

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


class SqsMail(Mail):
    """As `Mail`, by AWS's administrator."""

    def __init__(self, clouds: Clouds, namespace: str) -> None:
        super().__init__(clouds.own, namespace)
        self._clouds = clouds

    def environ(self, **more: str) -> dict[str, str]:
        """See `Mail.environ`."""
        aws = {
            "ASYA_AWS_REGION": SQS_REGION,
            "ASYA_SQS_ACCOUNT_ID": ACCOUNT,
            "ASYA_SQS_ENDPOINT": self._clouds.endpoint,
        }
        return {"ASYA_TRANSPORT": "sqs", "ASYA_NAMESPACE": self.namespace, **aws, **more}

    def send(self, route: Sequence[str], payloads: Iterable[Payload]) -> list[str]:
        """See `Mail.send`."""
        # AWS's library has no other way of being told who somebody is.
        with patch.dict(os.environ, self._clouds.login):
            return super().send(route, payloads)

    def depths(self) -> dict[str, int]:
        """See `Mail.depths`; messages that wait for their time count, too."""
        begin, found = f"asya_{self.namespace}_", {}
        with self._clouds.own.network():
            sqs = self._clouds.client("sqs")
            for url in sqs.list_queues(QueueNamePrefix=begin).get("QueueUrls", ()):
                counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
                found[url.rpartition("/")[2].removeprefix(begin)] = sum(int(counts[name]) for name in _COUNTS)
        return found


class PubsubMail(Mail):
    """As `Mail`. The emulator does not tell how many messages there are."""

    def __init__(self, clouds: Clouds, namespace: str) -> None:
        super().__init__(clouds.own, namespace)
        assert clouds.pubsub is not None, "asked for where there is no emulator"
        self._emulator = clouds.pubsub

    def environ(self, **more: str) -> dict[str, str]:
        """See `Mail.environ`."""
        google = {"ASYA_PUBSUB_PROJECT_ID": PROJECT, "ASYA_PUBSUB_ENDPOINT": self._emulator}
        return {"ASYA_TRANSPORT": "pubsub", "ASYA_NAMESPACE": self.namespace, **google, **more}

    def depths(self) -> dict[str, int]:
        """Return nothing: the bucket is looked at whenever that is due."""
        return {}
