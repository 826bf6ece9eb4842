"""Redis Streams: `queue.lua` is what happens at the server, `server` alone knows redis-py, `transport` is the face."""

from asya.transports.redis.transport import RedisTransport

__all__ = ["RedisTransport"]
