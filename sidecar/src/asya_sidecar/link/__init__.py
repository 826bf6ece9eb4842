"""The link to the runtime: the sidecar's side of docs/reference/link-protocol.md.

`frames` is the codec, `worker` one connection and the calls on it, `server` the socket, the choice of a worker and the
time limits.
"""

from asya_sidecar.link.server import RuntimeLink
from asya_sidecar.link.worker import Call, Listener, WorkerConnection

__all__ = ["Call", "Listener", "RuntimeLink", "WorkerConnection"]
