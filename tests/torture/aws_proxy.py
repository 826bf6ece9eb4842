"""A line to SQS that knows its calls: HTTP/1.1 with the operation in a header; it can answer in AWS's place.

moto never throttles, lets no credentials expire and looks at no clock; AWS does, with the answers below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable

from tests.torture import trouble
from tests.torture.line import LOOPBACK, Line
from tests.torture.trouble import Trouble

# Status, code, message: as SQS says it in its JSON protocol.
ANSWERS = {
    trouble.THROTTLED: (403, "RequestThrottled", "Rate exceeded"),
    trouble.UNAVAILABLE: (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server"),
    trouble.EXPIRED: (403, "ExpiredTokenException", "The security token included in the request is expired"),
    trouble.SKEWED: (403, "SignatureDoesNotMatch", "Signature expired: it is now earlier than its time minus 15 min"),
    trouble.DENIED: (403, "AccessDeniedException", "User is not authorized to perform this action"),
}
ASKED = {"SendMessageBatch": "after-publish", "DeleteMessageBatch": "before-ack"}
"""Steps that a call is before it has arrived."""
ANSWERED = {"SendMessageBatch": "before-confirm"}
"""Steps that an answer is before it has been read."""


class AwsProxy(Line):
    """A line to SQS; `trouble` is what calls meet, if anything."""

    trouble: Trouble | None = None

    def _ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> tuple[Awaitable[None], ...]:
        return (self._calls(reader, writer, up_reader, up_writer),)

    async def _calls(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        try:
            while True:
                head, request = await _message(reader)
                operation = _header(head, b"x-amz-target").rpartition(".")[2]
                if operation in ASKED and await self.watch(ASKED[operation]):
                    return
                await asyncio.sleep(self.delay)
                if self.trouble is not None and self.trouble.meets(operation):
                    writer.write(_refusal(self.trouble.kind))
                    await writer.drain()
                    continue
                up_writer.write(request)
                await up_writer.drain()
                head, answer = await _message(up_reader)
                if operation in ANSWERED and await self.watch(ANSWERED[operation]):
                    return
                await asyncio.sleep(self.delay)
                writer.write(answer)
                await writer.drain()
                if _header(head, b"connection").lower() == "close":
                    # That server takes one call for each connection; its client keeps this one.
                    fresh = await asyncio.open_connection(LOOPBACK, self.target)
                    up_writer.close()
                    self._writers.discard(up_writer)
                    up_reader, up_writer = fresh
                    self._writers.add(up_writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            up_writer.transport.abort()
            self._writers.discard(up_writer)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one request or answer; return its head, and all of it."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head, head + await reader.readexactly(int(_header(head, b"content-length") or 0))


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode()
    return ""


def _refusal(kind: str) -> bytes:
    status, code, message = ANSWERS[kind]
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message}).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
