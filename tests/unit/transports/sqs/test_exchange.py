"""HTTP as it comes in from the network: in pieces, in each of its forms, and broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from asya.transports.sqs.exchange import Answer, BadAnswerError, Connections, Server, read

HEAD = b"HTTP/1.1 200 OK\r\nDate: today\r\n"
SIZED = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (SIZED, Answer(200, b"hello", kept=True)),
        (CHUNKED, Answer(200, b"hello", kept=True)),
        (HEAD + b"content-length: 0\r\n\r\n", Answer(200, b"", kept=True)),
        (b"HTTP/1.1 403 No\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno", Answer(403, b"no", kept=False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Answer(200, b"ok", kept=False)),
    ],
)
def test_an_answer_is_found_as_soon_as_it_is_whole(data: bytes, answer: Answer) -> None:
    assert [read(data[:size]) for size in range(len(data))] == [None] * len(data)
    assert read(data) == answer


def test_without_a_length_the_end_of_the_connection_ends_it() -> None:
    data = HEAD + b"\r\nhello"
    assert read(data) is None
    assert read(data, ended=True) == Answer(200, b"hello", kept=False)


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", False),
        (b"HTTP/2 200\r\n\r\n", False),
        (b"x" * 70_000, False),
        (b"", True),
        (SIZED[:-1], True),
        (CHUNKED[:-4], True),
        (HEAD + b"Content-Length: -5\r\n\r\nhello", False),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", False),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes, *, ended: bool) -> None:
    with pytest.raises(BadAnswerError):
        read(data, ended=ended)


@asynccontextmanager
async def serving(
    answer: Callable[[int], bytes | None],
) -> AsyncIterator[tuple[Server, list[asyncio.StreamWriter]]]:
    """A server whose n-th request gets `answer(n)`; None: the connection is closed. Gives its connections, too."""
    requests, writers = 0, list[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        writers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                requests += 1
                said = answer(requests)
                if said is None:
                    break
                writer.write(said)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Server("127.0.0.1", port, None), writers


REQUEST = b"POST / HTTP/1.1\r\n\r\n"


async def test_a_connection_is_used_again_and_as_many_are_open_as_there_are_requests_at_once() -> None:
    connections = Connections()
    async with serving(lambda _: SIZED) as (server, writers):
        for _ in range(3):
            assert (await connections.ask(server, REQUEST, 5)).body == b"hello"
        assert len(writers) == 1
        await asyncio.gather(*(connections.ask(server, REQUEST, 5) for _ in range(3)))
        assert len(writers) == 3
        connections.close()


async def test_one_that_the_other_end_has_closed_is_not_used_again() -> None:
    connections = Connections()
    async with serving(lambda _: SIZED) as (server, writers):
        await connections.ask(server, REQUEST, 5)
        (known,) = connections._free[server]
        writers[0].close()
        async with asyncio.timeout(5):
            while known.open:
                await asyncio.sleep(0)
        await connections.ask(server, REQUEST, 5)
        assert len(writers) == 2
        connections.close()


async def test_no_answer_is_an_error_and_ends_the_connection() -> None:
    connections = Connections()
    async with serving(lambda number: b"" if number == 1 else None) as (server, writers):
        with pytest.raises(TimeoutError):
            await connections.ask(server, REQUEST, 0.05)
        with pytest.raises(BadAnswerError, match="no head"):
            await connections.ask(server, REQUEST, 5)
        assert len(writers) == 2
        assert not connections._free
    with pytest.raises(OSError):  # noqa: PT011  nobody listens; which one it is depends on the system
        await connections.ask(server, REQUEST, 5)


async def test_what_comes_without_being_asked_for_ends_the_connection() -> None:
    connections = Connections()
    async with serving(lambda _: SIZED) as (server, writers):
        await connections.ask(server, REQUEST, 5)
        (known,) = connections._free[server]
        writers[0].write(SIZED)
        async with asyncio.timeout(5):
            while known.open:
                await asyncio.sleep(0)
        await connections.ask(server, REQUEST, 5)
        assert len(writers) == 2
        connections.close()
