"""What the contract suite needs from SQS."""

from __future__ import annotations

from tests.contract.transports.harness import Harness
from tests.support.moto_server import MotoServer

from asya.transports import Transport
from asya.transports.settings import SqsSettings
from asya.transports.sqs import SqsTransport


class SqsHarness(Harness):
    """SQS as moto plays it, with S3 beside it for what is too large."""

    has_leases = True
    counts_returns = True
    tells_age = False
    shortest_delay = 1.0
    shortest_lease = 2.0
    wait_seconds = 1.0

    def __init__(self, server: MotoServer, *, fifo: bool = False) -> None:
        super().__init__()
        self.server, self.fifo = server, fifo
        self.hides_delayed = fifo
        self.counts_delayed = self.counts_in_flight = not fifo

    def settings(self) -> SqsSettings:
        """Settings for the server; names and numbers as the test has set them."""
        return SqsSettings(
            region=self.server.region,
            account_id=self.server.account,
            endpoint=self.server.url,
            lease_seconds=self.lease,
            wait_seconds=self.wait_seconds,
            message_bytes=min(self.message_bytes, 1024 * 1024),
            fifo=self.fifo,
            claim_bucket=self.server.bucket,
            claim_bytes=self.message_bytes,
            claim_endpoint=self.server.url,
        )

    def make(self) -> Transport:
        """Connect to the server."""
        return SqsTransport(self.names, self.settings())

    def queue(self, actor: str) -> str:
        """FIFO queues have an ending."""
        return self.names.queue(actor) + (".fifo" if self.fifo else "")

    async def crash(self, transport: Transport) -> None:
        """Give nothing back; the leases then run out by themselves.

        A question under way is waited for: the server would hand out messages to it though nobody listens, where AWS
        notices that the connection is gone.
        """
        assert isinstance(transport, SqsTransport)
        for consumer in transport._consumers:
            consumer._credit = 0
            await consumer.close()
            for token in consumer.held:
                token.until = 0.0
        transport._consumers.clear()
        await transport._session.close()
