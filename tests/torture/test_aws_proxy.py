"""The line to SQS: what it opens by itself is cut like the rest."""

from __future__ import annotations

import asyncio

from tests.torture.aws_proxy import AwsProxy

CALL = b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_cut_ends_also_the_connection_that_was_opened_for_the_next_call() -> None:
    reached, ended = asyncio.Event(), asyncio.Event()
    served: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        if len(served) == 1:
            await reader.readuntil(b"{}")
            writer.write(ANSWER)
            writer.close()
            return
        await reader.readuntil(b"{}")
        reached.set()
        try:
            await reader.read()
        except ConnectionResetError:
            pass
        finally:
            ended.set()
            writer.close()

    async def never(step: str) -> bool:
        return False

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = AwsProxy(server.sockets[0].getsockname()[1], never)
    await proxy.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    async with asyncio.timeout(10):
        writer.write(CALL)
        await reader.readexactly(len(ANSWER))
        writer.write(CALL)
        # A long poll, which nobody answers.
        await reached.wait()
        assert proxy.cut() == 1
        await ended.wait()
    writer.close()
    assert len(served) == 2
    await proxy.close()
    server.close()
