"""Google Pub/Sub: gRPC calls of our own over `grpc.aio`, without Google's client library (docs/decisions/0009).

Belongs here: everything that knows Pub/Sub. `grpc` and `google` are imported in `connection`, `messages` and
`refusals` only, and by nothing outside this folder.
"""

from asya.transports.pubsub.transport import PubsubTransport

__all__ = ["PubsubTransport"]
