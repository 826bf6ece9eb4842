"""The calls of a hop on the short way: signed here, on the event loop.

The AWS library takes 2 ms of CPU time for a call, most of it for what these calls do not need: hooks, rules for
endpoints, models, a thread. This way knows the good answer only. Whatever else happens is left to the
library, which makes the call again and knows how to wait, retry and say what is wrong; for a while afterwards all calls
go there at once.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from asya.transports.sqs.exchange import BadAnswerError, Connections, Server

log = logging.getLogger(__name__)
TARGETS: Final[Mapping[str, str]] = {
    "change_message_visibility_batch": "AmazonSQS.ChangeMessageVisibilityBatch",
    "delete_message_batch": "AmazonSQS.DeleteMessageBatch",
    "receive_message": "AmazonSQS.ReceiveMessage",
    "send_message_batch": "AmazonSQS.SendMessageBatch",
}
"""What is called on the short way, and how SQS calls it."""
LEFT_SECONDS: Final = 5.0
"""How long the short way is left after something that it could not make anything of."""
KEPT_SECONDS: Final = 30.0
"""How long credentials are used before they are asked for again; the library renews them minutes before their end."""
AGENT: Final = "asya"
_DECODE: Final = msgspec.json.Decoder(dict[str, Any]).decode
_OK: Final = 200
_CONTENT_TYPE: Final = "application/x-amz-json-1.0"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """A consistent set of them; those that are temporary have a token."""

    access_key: str
    secret_key: str
    token: str | None = None


class _Key(NamedTuple):
    secret: str
    day: str
    mac: hmac.HMAC


class Signer:
    """Signature Version 4 for SQS: POST to the path `/`, no query (AWS, "Create a signed AWS API request")."""

    def __init__(self, host: str, region: str) -> None:
        self._host, self._region = host, region
        self._last: _Key | None = None

    def headers(self, target: str, body: bytes, credentials: Credentials, stamp: str) -> dict[str, str]:
        """Return what a request has to say. `stamp`: the time in UTC as `20261121T093000Z`."""
        found = {"content-type": _CONTENT_TYPE, "host": self._host, "x-amz-date": stamp}
        if credentials.token:
            found["x-amz-security-token"] = credentials.token
        found["x-amz-target"] = target
        signed = ";".join(found)  # they are in the alphabet's order
        lines = "".join(f"{name}:{value}\n" for name, value in found.items())
        request = f"POST\n/\n\n{lines}\n{signed}\n{sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/sqs/aws4_request"
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        # A copy of what the key has been mixed into already is several times cheaper than beginning with the key.
        mac = self._keyed(credentials.secret_key, stamp[:8]).copy()
        mac.update(text.encode())
        signature = mac.hexdigest()
        found["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
        return found

    def _keyed(self, secret: str, day: str) -> hmac.HMAC:
        last = self._last
        if last is None or (last.secret, last.day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, "sqs", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._last = last = _Key(secret, day, hmac.new(key, digestmod="sha256"))
        return last.mac


class Direct:
    """Makes requests; the connections, which are the transport's, are given to `call`."""

    def __init__(
        self, endpoint: str, region: str, source: Callable[[], Credentials], tls: ssl.SSLContext | None
    ) -> None:
        parts = urlsplit(endpoint)
        self._server = Server(parts.hostname or "", parts.port or (80 if tls is None else 443), tls)
        self._signer = Signer(parts.netloc.rpartition("@")[2], region)
        self._source = source
        self._credentials: Credentials | None = None
        self._asked_at = self._left_until = 0.0

    async def call(
        self, connections: Connections, operation: str, parameters: Mapping[str, Any], within: float
    ) -> dict[str, Any] | None:
        """Return the answer; None when the call has to be made another way, though it may have been carried out."""
        now = time.monotonic()
        if now < self._left_until:
            return None
        if self._credentials is None or now > self._asked_at + KEPT_SECONDS:
            # The library may ask the network for new ones.
            self._credentials = await asyncio.get_running_loop().run_in_executor(None, self._source)
            self._asked_at = now
        body = msgspec.json.encode(parameters)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        fields = self._signer.headers(TARGETS[operation], body, self._credentials, stamp)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"POST / HTTP/1.1\r\n{lines}user-agent: {AGENT}\r\ncontent-length: {len(body)}\r\n\r\n"
        try:
            answer = await connections.ask(self._server, head.encode() + body, within)
            if answer.status == _OK:
                return _DECODE(answer.body or b"{}")
        except (OSError, BadAnswerError, msgspec.DecodeError) as error:
            log.debug("%s is asked for again, by the library: %r", operation, error)
        self._left_until, self._credentials = time.monotonic() + LEFT_SECONDS, None
        return None
