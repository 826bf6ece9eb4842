"""What only the embedded queue promises: several processes on one file, crashes, full disks, foreign files."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from tests.contract.transports.harness import Inbox, depth_of, until

from asya.errors import NoDestinationError, RefusedError, SettingsError, TransportError
from asya.transports import Outgoing, QueueNames, QueueSpec, Settle
from asya.transports.settings import SqliteSettings
from asya.transports.sqlite import Reader, SqliteTransport
from asya.transports.sqlite import clock as sqlite_clock
from asya.transports.sqlite import schema as sqlite_schema
from asya.transports.sqlite.wake import folder_of

WORKER = Path(__file__).with_name("sqlite_worker.py")
NAMES = QueueNames("t")
Connect = Callable[..., Awaitable[SqliteTransport]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest_asyncio.fixture
async def connect(path: Path) -> AsyncIterator[Connect]:
    """Opens transports on the one file; closed at the end."""
    opened: list[SqliteTransport] = []

    async def connect(*actors: str, lease_seconds: float = 30.0, at: Path = path) -> SqliteTransport:
        settings = SqliteSettings(path=at, lease_seconds=lease_seconds, message_bytes=4 * 1024 * 1024)
        transport = SqliteTransport(NAMES, settings)
        await transport.open()
        opened.append(transport)
        await transport.declare([QueueSpec(actor) for actor in actors])
        return transport

    yield connect
    for transport in opened:
        await transport.close()


def check_books(path: Path) -> None:
    """The kept totals are what is there, every message has a body and every body a message."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT name, total, (SELECT count(*) FROM messages WHERE queue = queues.id) FROM queues"
        ).fetchall()
        assert [(name, total) for name, total, _ in rows] == [(name, found) for name, _, found in rows]
        ids = "SELECT id FROM messages"
        assert connection.execute(f"SELECT count(*) FROM bodies WHERE id NOT IN ({ids})").fetchone() == (0,)
        assert connection.execute(
            "SELECT (SELECT count(*) FROM messages) - (SELECT count(*) FROM bodies)"
        ).fetchone() == (0,)
    finally:
        connection.close()


async def start_worker(path: Path, source: str, destination: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(path), source, destination, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
    return process


async def test_processes_that_are_killed_lose_nothing_and_double_nothing(connect: Connect, path: Path) -> None:
    """Two processes move 3,000 messages from a to b; six are killed at work and replaced. Count in = count out."""
    count, kills = 3000, 6
    transport = await connect("a", "b")
    workers = [await start_worker(path, "a", "b") for _ in range(2)]
    killed_holding = 0
    try:

        async def moved(at_least: int) -> None:
            async def enough() -> bool:
                return (await depth_of(transport, "b")).ready >= at_least

            await until(enough, f"{at_least} messages moved", bound=60)

        await transport.publish([Outgoing("a", b"%d" % number) for number in range(count)])
        for step in range(kills):
            await moved(100 + step * count // (2 * kills))
            victim = workers.pop(0)
            victim.kill()
            assert await victim.wait() == -9
            depth = await depth_of(transport, "a")
            assert depth.ready > 0  # killed in the middle of the work, not after it
            killed_holding += bool(depth.in_flight)
            workers.append(await start_worker(path, "a", "b"))
        await moved(count)
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
    assert killed_holding > 0
    inbox = Inbox()
    consumer = await transport.consume("b", count + 10, inbox)
    await inbox.take_many(count)
    consumer.set_credit(0)
    assert sorted(inbox.bodies, key=int) == [b"%d" % number for number in range(count)]  # none lost, none twice
    depth = await depth_of(transport, "a")
    assert (depth.ready, depth.in_flight, depth.dead) == (0, 0, 0)
    check_books(path)


async def test_a_process_is_woken_by_another_one(connect: Connect, path: Path) -> None:
    """Far quicker than an idle consumer looks by itself (5 s)."""
    transport = await connect("a", "b")
    inbox = Inbox()
    await transport.consume("b", 1, inbox)
    worker = await start_worker(path, "a", "b")
    try:
        for number in range(5):
            await transport.publish([Outgoing("a", b"%d" % number)])
            delivery = await inbox.take(bound=2.5)
            assert delivery.body == b"%d" % number
            await transport.complete(delivery)
    finally:
        worker.kill()
        await worker.wait()


async def test_a_dead_consumers_socket_is_removed(connect: Connect, path: Path) -> None:
    transport = await connect("a")
    worker = await start_worker(path, "a", "a-gone")
    assert len(list(folder_of(path).iterdir())) == 1
    worker.kill()
    await worker.wait()
    assert len(list(folder_of(path).iterdir())) == 1
    await transport.publish([Outgoing("a", b"rings at the dead")])

    async def removed() -> bool:
        return list(folder_of(path).iterdir()) == []

    await until(removed, "the stale socket is removed")


async def test_a_folder_with_a_long_path(connect: Connect, tmp_path: Path) -> None:
    """Socket addresses hold about a hundred bytes, folders more."""
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    one, two = await connect("a", at=folder / "queue.db"), await connect(at=folder / "queue.db")
    inbox = Inbox()
    await one.consume("a", 1, inbox)
    await two.publish([Outgoing("a", b"1")])
    await one.complete(await inbox.take(bound=2.5))


async def test_an_idle_transport_does_not_work(connect: Connect) -> None:
    """No polling: an idle second costs next to no CPU and no write."""
    transport = await connect("a", "b", "c")
    for actor in ("a", "b", "c"):
        await transport.consume(actor, 1, Inbox())
    await transport.publish([Outgoing("a", b"x", 3600.0)])
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(1.0, done.set_result, None)
    before = time.process_time()
    await done
    assert time.process_time() - before < 0.02


async def test_a_full_disk_refuses_and_loses_nothing(connect: Connect, path: Path) -> None:
    transport = await connect("a", "b")
    await transport.publish([Outgoing("a", b"before")])
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    delivery = await inbox.take()
    await limit_pages(transport, 20)
    big = b"x" * 1_000_000
    with pytest.raises(RefusedError, match="full"):
        await transport.publish([Outgoing("b", big)])
    with pytest.raises(RefusedError, match="full"):
        await transport.complete(delivery, [Outgoing("b", big)])
    assert (await depth_of(transport, "b")).ready == 0
    assert (await depth_of(transport, "a")).in_flight == 1
    await limit_pages(transport, 100_000)
    await transport.complete(delivery, [Outgoing("b", big)])
    assert (await depth_of(transport, "b")).ready == 1
    await transport.publish([Outgoing("a", b"after")])
    assert (await inbox.take()).body == b"after"  # the consumer goes on
    check_books(path)


async def limit_pages(transport: SqliteTransport, pages: int) -> None:
    """Let the writer's database grow to `pages` pages and no further, as a full disk would."""
    receiving = transport._receiving
    assert receiving is not None
    await receiving.writer.submit(
        lambda store: store._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone(),
    )


async def test_a_locked_database_is_waited_for(connect: Connect, path: Path) -> None:
    transport = await connect("a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    published = transport.publish([Outgoing("a", b"1")])
    assert (await depth_of(transport, "a")).ready == 0  # looking is never in anybody's way
    assert not published.done()
    other.execute("COMMIT")
    other.close()
    async with asyncio.timeout(5):
        await published


async def test_a_database_that_stays_locked_refuses(
    connect: Connect, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_schema, "BUSY_SECONDS", 0.2)
    transport = await connect("a", "b")
    await transport.publish([Outgoing("a", b"in")])
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    delivery = await inbox.take()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RefusedError, match="locked by another process"):
        await transport.complete(delivery, [Outgoing("b", b"out")])
    other.execute("COMMIT")
    other.close()
    await transport.complete(delivery, [Outgoing("b", b"out")])
    assert (await depth_of(transport, "b")).ready == 1
    check_books(path)


async def test_a_newer_database_is_refused(connect: Connect, path: Path) -> None:
    await (await connect("a")).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(TransportError, match="has schema version 99, this program reads 3"):
        await connect()
    with pytest.raises(TransportError, match="has schema version 99"):
        Reader(path, NAMES)


class Machine:
    """Sets the wall clock and restarts the machine, as far as this process can tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._wall = time.time

    def set_clock(self, seconds: float) -> None:
        """Let the wall clock be `seconds` ahead of the true time."""
        self._monkeypatch.setattr(time, "time", lambda: self._wall() + seconds)

    def restart(self) -> None:
        """Begin another boot, whose count of seconds begins at 0."""
        start = time.monotonic()
        self._monkeypatch.setattr(sqlite_clock, "_boot", lambda: "another boot")
        self._monkeypatch.setattr(sqlite_clock, "_elapsed", lambda: time.monotonic() - start)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_wall_clock_that_is_set_changes_nothing(connect: Connect, machine: Machine, jump: float) -> None:
    transport = await connect("a", "held", "later")
    await transport.publish([Outgoing("a", b"1"), Outgoing("held", b"h"), Outgoing("later", b"l", 600.0)])
    holder = Inbox()
    await transport.consume("held", 1, holder)
    held = await holder.take()

    machine.set_clock(jump)
    newcomer = await connect()  # a process that only ever saw the clock as it is now
    await newcomer.publish([Outgoing("a", b"2")])
    depths = await newcomer.depth(["a", "held", "later"])
    assert (depths["a"].ready, depths["a"].delayed) == (2, 0)
    assert depths["a"].oldest_seconds is not None
    assert 0 < depths["a"].oldest_seconds < 30
    assert depths["held"].in_flight == 1
    assert depths["later"].delayed == 1

    inbox = Inbox()
    await newcomer.consume("a", 2, inbox)
    assert [delivery.body for delivery in await inbox.take_many(2)] == [b"1", b"2"]
    await transport.extend(held, 30.0)
    await transport.complete(held)


@pytest.mark.parametrize("jump", [-3600.0, 0.0, 3600.0])
async def test_after_a_restart_of_the_machine_everything_comes(
    connect: Connect, path: Path, machine: Machine, jump: float
) -> None:
    """Whatever was done to the wall clock meanwhile; leases end with the machine, and their deliveries count."""
    machine.set_clock(0.0)
    before = await connect("a", "held", "later", lease_seconds=3600.0)
    await before.publish([Outgoing("a", b"1"), Outgoing("held", b"h"), Outgoing("later", b"l", 600.0)])
    holder = Inbox()
    await before.consume("held", 1, holder)
    await holder.take()
    image = path.with_name("image.db")
    with sqlite3.connect(path) as source, sqlite3.connect(image) as copy:
        source.backup(copy)

    machine.restart()
    machine.set_clock(jump)
    after = await connect(at=image)
    inbox = Inbox()
    for actor in ("a", "held"):
        await after.consume(actor, 1, inbox)
    await after.publish([Outgoing("a", b"2")])
    found = {delivery.body: delivery.attempts for delivery in await inbox.take_many(2)}
    assert found == {b"1": 1, b"h": 2}
    later = await depth_of(after, "later")
    assert (later.ready, later.delayed) == ((1, 0) if jump > 0 else (0, 1))
    connection = sqlite3.connect(image)
    now = sqlite_clock.Clock(connection).now()
    (due,) = connection.execute("SELECT max(due) FROM messages WHERE token = 0").fetchone()
    connection.close()
    assert due - now <= 600.0, "a delay begins anew at worst"
    check_books(image)


async def test_a_delay_is_no_part_of_the_age_of_what_was_given_back(connect: Connect) -> None:
    transport = await connect("a")
    await transport.publish([Outgoing("a", b"x", 0.5)])
    inbox = Inbox()
    consumer = await transport.consume("a", 1, inbox)
    delivery = await inbox.take()
    came = time.monotonic()
    consumer.set_credit(0)
    await transport.complete(delivery, settle=Settle.RELEASE)
    depth = await depth_of(transport, "a")
    assert depth.oldest_seconds is not None
    assert depth.oldest_seconds < time.monotonic() - came + 0.4


@pytest.mark.parametrize(("version", "newer"), [(1, ("clock", "reasons")), (2, ("reasons",))])
async def test_a_database_of_an_older_version_goes_on(
    connect: Connect, path: Path, version: int, newer: tuple[str, ...]
) -> None:
    transport = await connect("a")
    await transport.publish([Outgoing("a", b"old")])
    await transport.close()
    other = sqlite3.connect(path)
    for table in newer:
        other.execute(f"DROP TABLE {table}")
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(TransportError, match=f"has schema version {version}; the next to send or receive makes it 3"):
        Reader(path, NAMES)
    inbox = Inbox()
    await (await connect()).consume("a", 1, inbox)
    assert (await inbox.take()).body == b"old"


async def test_another_programs_file_is_left_alone(connect: Connect, path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(TransportError, match="database of another program"):
        await connect()
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, but long enough to have a header of a hundred bytes" * 9)
    with pytest.raises(TransportError, match="not a database"):
        await connect()


async def test_a_missing_folder_is_named(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"the folder of the database .*nowhere/queue.db does not exist"):
        await connect(at=tmp_path / "nowhere" / "queue.db")


def test_a_path_is_needed() -> None:
    with pytest.raises(SettingsError, match="ASYA_SQLITE_PATH"):
        SqliteTransport(NAMES, SqliteSettings(path=None, lease_seconds=30.0, message_bytes=1024))


async def test_many_open_a_new_file_at_once(connect: Connect, path: Path) -> None:
    transports = await asyncio.gather(*(connect("a") for _ in range(8)))
    await asyncio.gather(*(transport.publish([Outgoing("a", b"x")]) for transport in transports))
    assert (await depth_of(transports[0], "a")).ready == 8


async def test_a_queue_that_is_dropped_and_made_again_is_still_consumed(connect: Connect) -> None:
    transport, other = await connect("a"), await connect()
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await other.drop(["a"])
    with pytest.raises(NoDestinationError):
        await other.publish([Outgoing("a", b"lost")])
    await other.declare([QueueSpec("a")])
    await other.publish([Outgoing("a", b"found")])
    assert (await inbox.take(bound=2.5)).body == b"found"


async def test_names_that_would_mix_two_actors_are_refused(path: Path) -> None:
    """With dashes `b`'s dead letters and the actor `b-dlq` have one name."""
    transport = SqliteTransport(
        QueueNames("t", "dash"), SqliteSettings(path=path, lease_seconds=30.0, message_bytes=1024)
    )
    await transport.open()
    await transport.declare([QueueSpec("b")])
    with pytest.raises(TransportError, match="belongs to actor 'b'"):
        await transport.declare([QueueSpec("b-dlq")])
    with pytest.raises(NoDestinationError):
        await transport.publish([Outgoing("b-dlq", b"x")])
    await transport.close()


async def test_depth_of_fifty_actors_is_cheap_whatever_is_queued(connect: Connect, path: Path) -> None:
    """One look per second may take 1 % of a CPU, which is 10 ms."""
    actors = [f"actor-{number}" for number in range(50)]
    transport = await connect(*actors)
    for actor in actors:
        await transport.publish([Outgoing(actor, b"x")] * 400)
    reader = Reader(path, NAMES)
    before = time.thread_time()
    for _ in range(20):
        depths = reader.depth(actors)
    spent = (time.thread_time() - before) / 20
    reader.close()
    assert {actor: depth.ready for actor, depth in depths.items()} == dict.fromkeys(actors, 400)
    assert spent < 0.010


def test_reading_what_is_not_there(path: Path) -> None:
    with pytest.raises(TransportError, match="unable to open"):
        Reader(path, NAMES)
    assert not path.exists()  # nothing was made by looking


async def test_a_redrive_that_is_not_written_leaves_the_dead_letter_alone(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await connect("a")
    await transport.publish([Outgoing("a", b"precious")])
    inbox = Inbox()
    await transport.consume("a", 1, inbox)
    await transport.complete(await inbox.take(), settle=Settle.DEAD_LETTER)

    def fails(_store: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with transport.open_dead_letters("a") as letters:
        (letter,) = [letter async for letter in letters.browse()]
        with monkeypatch.context() as patched:
            patched.setattr("asya.transports.sqlite.store.Store.commit", fails)
            with pytest.raises(TransportError):
                await letters.redrive(letter)
        assert [each.body async for each in letters.browse()] == [b"precious"]
        await letters.redrive(letter)
    assert (await inbox.take()).body == b"precious"
    assert await transport.dead_letters("a", 1) == []
