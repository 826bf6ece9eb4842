"""What the contract suite needs from Redis."""

from __future__ import annotations

from tests.contract.transports.harness import Harness

from asya.transports import Transport
from asya.transports.redis import RedisTransport
from asya.transports.settings import RedisSettings


class RedisHarness(Harness):
    """A real server."""

    has_leases = True

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def settings(self) -> RedisSettings:
        """Settings for the server; names and numbers as the test has set them."""
        return RedisSettings(url=self.url, lease_seconds=self.lease, message_bytes=self.message_bytes)

    def make(self) -> Transport:
        """Connect to the server."""
        return RedisTransport(self.names, self.settings())

    async def crash(self, transport: Transport) -> None:
        """Give nothing back; the leases then run out by themselves."""
        assert isinstance(transport, RedisTransport)
        consumers, transport._consumers = transport._consumers, []
        for consumer in consumers:
            await consumer.stop()
            consumer.out.clear()
        await transport._server.close()
