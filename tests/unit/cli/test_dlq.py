"""`asya dlq` on the embedded queue, with no `asya up` running."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from asya.cli import dlq_options
from asya.cli.dlq_letter import FIELDS, again, letter_of
from asya.cli.main import main
from asya.errors import ConnectionLostError, LeaseLostError, RefusedError
from asya.transports import DeadLetter, Delivery, Outgoing, QueueNames, QueueSpec, Settle
from asya.transports.settings import TRANSPORTS, SqliteSettings
from asya.transports.sqlite import SqliteTransport
from asya.transports.sqlite.dead_letters import SqliteDeadLetters
from asya.wire import Envelope, ErrorInfo, Route, Status, decode, encode, format_time, headers, raw

T = TypeVar("T")
ACTOR, SINK = "resize", "x-sink"


def envelope(name: str, payload: object = None, *, error: str = "", retries: int = 0, **status: Any) -> bytes:
    """An envelope at its second actor; with `retries`, as it is between two attempts there."""
    found = Envelope(
        id=name,
        route=Route(prev=["load"], curr=ACTOR, next=["store"]),
        headers={headers.HOP: raw(7), "x-user": raw({"a": 1})},
        payload=raw({"n": 1} if payload is None else payload),
        status=Status(actor=ACTOR, created_at=format_time(1.0), **status),
    )
    assert found.status is not None
    if error:
        found.status.error = ErrorInfo(type=error, message="it broke", traceback="Traceback\n  line 1")
    if retries:
        found.status.phase, found.status.attempt = "retrying", retries + 1
        found.headers[headers.FIRST_ATTEMPT] = raw(format_time(1.0))
        found.headers[headers.TERMINAL_ATTEMPT] = raw(retries + 1)
    return encode(found)


class Queue:
    """The queue of an `asya up` that has ended."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def bury(self, *bodies: bytes, reason: str = "too-large", actor: str = ACTOR, namespace: str = "default") -> None:
        """Have an actor's messages dead-lettered."""

        async def work(transport: SqliteTransport) -> None:
            await transport.declare([QueueSpec(actor), QueueSpec(SINK)])
            await transport.publish([Outgoing(actor, body) for body in bodies])
            for delivery in await _deliveries(transport, actor, len(bodies)):
                await transport.complete(delivery, settle=Settle.DEAD_LETTER, reason=reason)

        self._with(work, namespace)

    def dead(self, actor: str = ACTOR) -> list[bytes]:
        """Bodies in the dead-letter queue."""
        return self._with(lambda transport: transport.dead_letters(actor, 1000))

    def live(self, actor: str = ACTOR) -> list[bytes]:
        """Bodies in the actor's own queue."""

        async def work(transport: SqliteTransport) -> list[bytes]:
            count = (await transport.depth([actor]))[actor].ready
            return [delivery.body for delivery in await _deliveries(transport, actor, count)]

        return self._with(work)

    def audit(self) -> list[dict[str, Any]]:
        """What the audit says."""
        return [json.loads(line) for line in (self.state / "audit.jsonl").read_text().splitlines()]

    def run(self, *arguments: str, stdin: str = "", code: int = 0, **env: str) -> Result:
        """Run a command."""
        runner = CliRunner(env={"ASYA_TRANSPORT": None, "ASYA_NAMESPACE": None, **env})
        done = runner.invoke(main, ["dlq", *arguments, "--state", str(self.state)], input=stdin)
        assert done.exit_code == code, (done.output, done.stderr, done.exception)
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with -o json."""
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def _with(self, work: Any, namespace: str = "default") -> Any:
        async def opened() -> Any:
            transport = SqliteTransport(QueueNames(namespace), SqliteSettings(path=self.state / "queue.db"))
            await transport.open()
            try:
                return await work(transport)
            finally:
                await transport.close()

        return _run(opened())


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def _deliveries(transport: SqliteTransport, actor: str, count: int) -> list[Delivery]:
    arrived: asyncio.Queue[Delivery] = asyncio.Queue()
    await transport.consume(actor, max(1, count), arrived.put_nowait)
    async with asyncio.timeout(10):
        return [await arrived.get() for _ in range(count)]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    state = tmp_path / "state"
    state.mkdir()
    (state / "lock").touch()
    return Queue(state)


class TestList:
    def test_counts_reasons_errors_and_age_per_actor(self, queue: Queue) -> None:
        queue.bury(envelope("1", error="OSError"), envelope("2", error="ValueError"), reason="sump-failed")
        queue.bury(b"not JSON", reason="internal-error")
        shown = queue.run("list")
        (row,) = shown.stdout.splitlines()[1:]
        assert row.split()[:2] == [ACTOR, "3"]
        assert "sump-failed 2, internal-error 1" in row
        assert "OSError 1, ValueError 1" in row
        found = {each["name"]: each for each in queue.json("list")["actors"]}
        assert {name: each["dead"] for name, each in found.items()} == {ACTOR: 3, SINK: 0}
        assert found[ACTOR]["reasons"] == {"sump-failed": 2, "internal-error": 1}

    def test_a_long_queue_is_looked_at_as_far_as_the_limit(self, queue: Queue) -> None:
        queue.bury(*(envelope(str(number)) for number in range(5)))
        assert "  4+  " in queue.run("list", ACTOR, "--limit", "4").stdout
        assert queue.json("list", ACTOR, "--limit", "5")["actors"][0]["more"] is False

    def test_no_dead_letters_is_said(self, queue: Queue) -> None:
        queue.bury()
        assert f"no dead letters; actors: {ACTOR}, {SINK}" in queue.run("list").stderr

    def test_of_several_namespaces_one_is_named(self, queue: Queue) -> None:
        queue.bury(envelope("1"))
        queue.bury(envelope("2"), envelope("3"), namespace="shop")
        assert "these namespaces: default, shop" in queue.run("list", code=1).stderr
        listed = queue.run("list", ACTOR, "-o", "json", ASYA_NAMESPACE="shop")
        assert json.loads(listed.stdout)["actors"][0]["dead"] == 2

    def test_without_a_queue_it_is_said_how_to_name_one(self, tmp_path: Path) -> None:
        state = tmp_path / "none"
        done = Queue(state).run("list", "-o", "json", code=1)
        told = json.loads(done.stderr)["error"]["message"]
        assert f"there is no {state}/queue.db" in told
        assert "--transport rabbitmq" in told
        assert not state.exists(), "looking makes nothing"

    def test_an_actor_that_is_none_is_named(self, queue: Queue) -> None:
        queue.bury()
        assert "actor 'resise' has no queue" in queue.run("list", "resise", code=1).stderr


class TestShow:
    def test_all_of_an_actor(self, queue: Queue) -> None:
        queue.bury(envelope("first", error="OSError"), envelope("second"))
        rows = queue.run("show", ACTOR).stdout.splitlines()
        assert rows[0].split() == ["ID", "AGE", "REASON", "ATTEMPTS", "ERROR"]
        assert [row.split()[0] for row in rows[1:]] == ["first", "second"]
        assert rows[1].split()[2:] == ["too-large", "1", "OSError:", "it", "broke"]
        few = queue.run("show", ACTOR, "--limit", "1")
        assert "there are more than 1" in few.stderr

    def test_one_with_everything_about_it(self, queue: Queue) -> None:
        queue.bury(envelope("one", {"text": "héllo"}, error="OSError", deadline_at=format_time(2.0)))
        shown = queue.run("show", ACTOR, "one").stdout
        for part in ("load → [resize] → store", '"text": "héllo"', "OSError: it broke", "line 1", "deadline is over"):
            assert part in shown
        (found,) = queue.json("show", ACTOR, "one")["letters"]
        assert found["envelope"]["payload"] == {"text": "héllo"}
        assert (found["reason"], found["attempts"], found["deadline_over"]) == ("too-large", 1, True)

    def test_what_is_no_envelope_is_shown_as_it_is(self, queue: Queue) -> None:
        queue.bury(b"\xff not JSON")
        (found,) = queue.json("show", ACTOR)["letters"]
        (whole,) = queue.json("show", ACTOR, found["id"])["letters"]
        assert (whole["envelope"], whole["body"]) == (None, "\\xff not JSON")

    def test_an_id_that_is_not_there(self, queue: Queue) -> None:
        queue.bury(envelope("one"))
        assert "no dead letter two; see: asya dlq show resize" in queue.run("show", ACTOR, "two", code=3).stderr


class TestRedrive:
    def test_it_goes_back_with_new_attempts_same_id_route_and_hop(self, queue: Queue) -> None:
        queue.bury(envelope("one", error="OSError", retries=3, max_attempts=4), envelope("two"))
        assert queue.run("redrive", ACTOR, "one").stdout == "1 redriven\n"
        (live,) = queue.live()
        found = decode(live)
        before = decode(envelope("one", error="OSError", retries=3, max_attempts=4))
        assert (found.id, found.route, found.hop, found.payload) == (before.id, before.route, 7, before.payload)
        assert set(found.headers) == {headers.HOP, "x-user"}
        assert found.status is not None
        assert (found.status.phase, found.status.attempt, found.status.max_attempts) == ("pending", 1, 4)
        assert queue.dead() == [envelope("two")]

    def test_each_is_in_the_audit_with_who_and_why(self, queue: Queue) -> None:
        queue.bury(envelope("one", error="OSError"))
        queue.run("redrive", ACTOR, "--all")
        (line,) = queue.audit()
        assert line["who"].count("@") == 1
        assert line["time"].endswith("Z")
        del line["who"], line["time"]
        assert line == {
            "action": "redrive",
            "transport": "sqlite",
            "namespace": "default",
            "actor": ACTOR,
            "id": "one",
            "reason": "too-large",
            "attempts": 1,
            "error_type": "OSError",
            "edited": False,
        }
        assert stat.S_IMODE((queue.state / "audit.jsonl").stat().st_mode) == 0o600

    def test_nothing_happens_when_the_audit_cannot_be_written(self, queue: Queue, tmp_path: Path) -> None:
        queue.bury(envelope("one"))
        done = queue.run("redrive", ACTOR, "--all", "--audit", str(tmp_path / "no" / "file"), code=1)
        assert "audit file" in done.stderr
        assert len(queue.dead()) == 1

    @pytest.mark.parametrize(
        ("query", "meant"),
        [
            (["--all"], {"a", "b", "c"}),
            (["--where", "reason=delivery-*"], {"c"}),
            (["--error-type", "Http*"], {"a"}),
            (["--where", "error-type=Http*", "--where", "reason=delivery-limit"], set()),
            (["--where", "from=load", "--error-type", ""], {"c"}),
            (["--older-than", "0s"], {"a", "b", "c"}),
            (["--older-than", "1h"], set()),
            (["a", "c"], {"a", "c"}),
        ],
    )
    def test_what_is_meant_is_shown_first_and_then_done(self, queue: Queue, query: list[str], meant: set[str]) -> None:
        queue.bury(envelope("a", error="HttpError"), envelope("b", error="OSError"), reason="sump-failed")
        queue.bury(envelope("c"), reason="delivery-limit")
        dry = queue.json("redrive", ACTOR, *query, "--dry-run")
        assert {letter["id"] for letter in dry["letters"]} == meant
        assert (len(queue.dead()), (queue.state / "audit.jsonl").exists()) == (3, False)
        queue.run("redrive", ACTOR, *query)
        assert {decode(body).id for body in queue.dead()} == {"a", "b", "c"} - meant
        assert {decode(body).id for body in queue.live()} == meant

    def test_an_id_that_is_not_there_is_told_and_the_others_go(self, queue: Queue) -> None:
        queue.bury(envelope("one"))
        done = queue.run("redrive", ACTOR, "one", "two", code=3)
        assert "no dead letter two" in done.stderr
        assert queue.dead() == []

    def test_a_payload_is_replaced(self, queue: Queue, tmp_path: Path) -> None:
        (tmp_path / "new.json").write_text('{"n": 2}')
        queue.bury(envelope("one"))
        queue.run("redrive", ACTOR, "one", "--payload", f"@{tmp_path / 'new.json'}", "--timeout", "1h")
        (live,) = queue.live()
        found = decode(live)
        assert (json.loads(bytes(found.payload)), found.id, found.hop) == ({"n": 2}, "one", 7)
        assert found.deadline_at == pytest.approx(time.time() + 3600, abs=60)
        assert queue.audit()[0]["edited"] is True

    @pytest.mark.parametrize(
        ("editor", "code", "said", "live"),
        [
            ("sed -i s/1/2/", 0, "", [{"n": 2}]),
            ("true", 1, "was not saved", []),
            ("sed -i s/1/}/", 1, "mend it there, and redrive with --payload @", []),
        ],
    )
    def test_a_payload_is_edited(self, queue: Queue, editor: str, code: int, said: str, live: list[object]) -> None:
        queue.bury(envelope("one"))
        done = queue.run("redrive", ACTOR, "one", "--edit", code=code, EDITOR=editor, VISUAL=editor)
        assert said in done.stderr
        assert [json.loads(bytes(decode(body).payload)) for body in queue.live()] == live
        if "--payload @" in said:
            kept = Path(done.stderr.split("@")[1].strip())
            assert "}" in kept.read_text()
            kept.unlink()

    def test_what_is_no_envelope_goes_as_it_is(self, queue: Queue) -> None:
        queue.bury(b"\xff not JSON")
        (letter,) = queue.json("show", ACTOR)["letters"]
        refused = queue.run("redrive", ACTOR, letter["id"], "--payload", "1", code=1)
        assert "is no envelope" in refused.stderr
        assert queue.dead() == [b"\xff not JSON"]
        queue.run("redrive", ACTOR, letter["id"])
        assert queue.live() == [b"\xff not JSON"]

    def test_one_that_is_refused_stays_and_is_told(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        queue.bury(envelope("one"), envelope("two"))
        redrive = SqliteDeadLetters.redrive

        async def refuses(self: Any, letter: DeadLetter, body: bytes | None = None) -> None:
            if decode(letter.body).id == "one":
                raise RefusedError("the queue is full")
            await redrive(self, letter, body)

        monkeypatch.setattr(SqliteDeadLetters, "redrive", refuses)
        done = queue.json("redrive", ACTOR, "--all", code=3)
        assert done["redriven"] == ["two"]
        assert done["failed"] == [{"id": "one", "error": {"code": "transport.refused", "message": "the queue is full"}}]
        assert [decode(body).id for body in queue.dead()] == ["one"]
        assert [line.get("failed") for line in queue.audit()].count("the queue is full") == 1

    def test_a_lost_connection_ends_it_and_says_how_far_it_came(
        self, queue: Queue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queue.bury(envelope("one"), envelope("two"))

        async def breaks(_self: Any, _letter: DeadLetter, _body: bytes | None = None) -> None:
            raise ConnectionLostError("the broker is gone")

        monkeypatch.setattr(SqliteDeadLetters, "redrive", breaks)
        done = queue.run("redrive", ACTOR, "--all", code=1)
        assert "the broker is gone; 0 of 2 are done, the rest stays" in done.stderr
        assert len(queue.dead()) == 2

    def test_what_somebody_else_took_meanwhile_is_told(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        queue.bury(envelope("one"), envelope("two"))

        async def too_late(_self: Any, _letter: DeadLetter, _body: bytes | None = None) -> None:
            raise LeaseLostError("gone")

        monkeypatch.setattr(SqliteDeadLetters, "redrive", too_late)
        assert queue.json("redrive", ACTOR, "one", code=3)["gone"] == ["one"]

    def test_copies_go_together_and_are_not_edited_as_one(self, queue: Queue) -> None:
        queue.bury(envelope("one"), envelope("one"), envelope("one", {"n": 2}))
        assert "3 dead letters have the id one" in queue.run("redrive", ACTOR, "one", "--payload", "1", code=1).stderr
        assert queue.run("redrive", ACTOR, "one").stdout == "3 redriven\n"
        assert len(queue.live()) == 3

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "say which ones"),
            (["--all", "one"], "--all means all"),
            (["--where", "colour=red"], "with one of reason, error-type"),
            (["--where", "reason"], "is not NAME=PATTERN"),
            (["--older-than", "soon"], "soon"),
            (["one", "--edit", "--payload", "1"], "both replace"),
            (["--all", "--edit"], "are for one ID"),
        ],
    )
    def test_wrong_usage(self, queue: Queue, arguments: list[str], said: str) -> None:
        queue.bury(envelope("one"))
        assert said in queue.run("redrive", ACTOR, *arguments, code=2).stderr


class TestDrop:
    def test_it_asks_first(self, queue: Queue) -> None:
        queue.bury(envelope("one"), envelope("two"))
        asked = queue.run("drop", ACTOR, "one", stdin="n\n", code=1)
        assert "Drop 1 dead letters of resize" in asked.stderr
        assert len(queue.dead()) == 2
        assert not (queue.state / "audit.jsonl").exists()
        queue.run("drop", ACTOR, "one", stdin="y\n")
        assert queue.dead() == [envelope("two")]
        assert (queue.live(), queue.audit()[0]["action"]) == ([], "drop")

    def test_it_does_not_ask_where_it_is_told_not_to(self, queue: Queue) -> None:
        queue.bury(*(envelope(str(number)) for number in range(40)))
        assert queue.json("drop", ACTOR, "--all", "--yes")["dropped"] == [str(number) for number in range(40)]
        assert queue.dead() == []
        assert len(queue.audit()) == 40

    def test_nobody_is_asked_in_the_middle_of_json(self, queue: Queue) -> None:
        queue.bury(envelope("one"))
        assert "say --yes" in queue.run("drop", ACTOR, "--all", "-o", "json", code=2).stderr


class TestWithSettings:
    def test_the_variables_of_a_sidecar_lead_there_and_the_audit_goes_to_standard_error(
        self, queue: Queue, tmp_path: Path
    ) -> None:
        queue.bury(envelope("one"))
        elsewhere = Queue(tmp_path)
        done = elsewhere.run(
            "redrive", ACTOR, "one", "--transport", "sqlite", ASYA_SQLITE_PATH=str(queue.state / "queue.db")
        )
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        assert [line["id"] for line in lines] == ["one"]
        assert queue.dead() == []

    def test_a_broker_needs_a_namespace(self, queue: Queue) -> None:
        asked = queue.run("list", ACTOR, "--transport", "rabbitmq", code=1)
        assert "the namespace is needed: --namespace, or ASYA_NAMESPACE" in asked.stderr

    def test_a_broker_and_a_cluster_are_not_both_meant(self, queue: Queue) -> None:
        runner = CliRunner()
        both = ["dlq", "list", "--transport", "sqs", "--context", "production"]
        assert "give one" in runner.invoke(main, both).stderr

    def test_a_broker_does_not_know_actors(self, queue: Queue) -> None:
        asked = queue.run("list", "--transport", "rabbitmq", code=1, ASYA_NAMESPACE="shop")
        assert "name them: asya dlq list ACTOR x-sump" in asked.stderr


def test_a_message_that_needs_no_change_is_not_rewritten() -> None:
    assert again(envelope("one")) is None
    assert again(b"not JSON") is None
    assert again(envelope("one", retries=1)) is not None


def test_unknown_fields_survive_a_redrive() -> None:
    body = envelope("one", retries=1).replace(b'"payload"', b'"new_field":[1],"payload"')
    changed = again(body)
    assert changed is not None
    assert json.loads(changed)["new_field"] == [1]


def test_copies_have_one_id_and_edits_another_digest() -> None:
    first, copy, other = (letter_of(DeadLetter(body, ACTOR, None), 0.0) for body in (b"x", b"x", b"y"))
    assert first == copy
    assert first.digest != other.digest


def test_what_help_names_is_what_there_is() -> None:
    """Told there once more, so that --help loads nothing."""
    assert tuple(FIELDS) == dlq_options._WHERE
    assert set(dlq_options._TRANSPORTS) == set(TRANSPORTS)
