"""Reading payloads and sending many of them, with a progress bar where somebody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from asya.cli.client import Client
from asya.cli.outcome import describe, has_ended, tells_what_goes_on
from asya.cli.shared import print_json
from asya.cli.waiting import FIRST_LOOK_SECONDS, NEXT_LOOK_SECONDS, HoldUps
from asya.errors import AsyaError

if TYPE_CHECKING:
    from rich.progress import Progress

_SENDERS = 8
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class NewMessage:
    """What all messages of one command share; `timeout` in seconds."""

    actor: str
    route: list[str] = field(default_factory=list)
    headers: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    id: str | None = None

    def body(self, payload: msgspec.Raw) -> bytes:
        """Write the request around the payload's own text."""
        fields: dict[str, Any] = {"payload": payload, "route": self.route, "headers": self.headers}
        fields |= {"timeout": self.timeout} if self.timeout is not None else {}
        fields |= {"id": self.id} if self.id is not None else {}
        return msgspec.json.encode(fields)


def read_payload(text: str) -> msgspec.Raw:
    """Read a payload as it is given on the command line: JSON, ``@FILE``, or ``-``.

    Raises:
        AsyaError: The file cannot be read, or it is no JSON.
    """
    if text == "-":
        return _checked(sys.stdin.buffer.read(), "standard input")
    if text.startswith("@"):
        return _checked(_read(text[1:]), text[1:])
    return _checked(text.encode(), "the payload")


def read_payloads(file: str) -> list[msgspec.Raw]:
    """Read one payload from each line that is not blank.

    Raises:
        AsyaError: The file cannot be read, a line is no JSON, or there is none.
    """
    body = sys.stdin.buffer.read() if file == "-" else _read(file)
    found = [_checked(line, f"{file}:{number}") for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not found:
        raise AsyaError(f"{file} has no line with a payload")
    return found


def send_many(
    client: Client, message: NewMessage, payloads: Sequence[msgspec.Raw], *, wait: bool, everything: bool, as_json: bool
) -> bool:
    """Send a message for each payload; print ids, or with `wait` results, in the order of the payloads.

    As text each result is one line of JSON, and ``null`` for what did not succeed: so line n belongs to payload n.
    How it ended goes to standard error then.

    Returns whether all succeeded; without `wait` it is True when all were sent.
    """
    with progress() as bar:
        step = bar.add_task("sent", total=len(payloads))
        with ThreadPoolExecutor(max_workers=_SENDERS) as pool:
            ids = []
            for task_id in pool.map(lambda payload: client.send(message.actor, message.body(payload)), payloads):
                ids.append(task_id)
                bar.advance(step)
        if not wait:
            for task_id in ids:
                print_json({"id": task_id}) if as_json else click.echo(task_id)
            return True
        step = bar.add_task("ended", total=len(ids))
        tasks = []
        with tells_what_goes_on(*ids):
            for task in _outcomes(client, ids, HoldUps(client, as_json=as_json), everything=everything):
                tasks.append(task)
                bar.advance(step)
                print_json(task if as_json else task["result"])
                if not as_json and task["status"] != "succeeded":
                    click.echo(describe(task), err=True)
    ended = [task["status"] == "succeeded" and not task["children"]["failed"] for task in tasks]
    if not as_json:
        click.echo(f"{sum(ended)} of {len(ended)} succeeded", err=True)
    return all(ended)


def _outcomes(client: Client, ids: Sequence[str], hold_ups: HoldUps, *, everything: bool) -> Iterator[dict[str, Any]]:
    look_at = time.monotonic() + FIRST_LOOK_SECONDS
    for task_id in ids:
        while not has_ended(task := client.task(task_id), everything=everything):
            if time.monotonic() >= look_at:
                hold_ups.look(task_id)
                look_at = time.monotonic() + NEXT_LOOK_SECONDS
            time.sleep(_LOOK_SECONDS)
        yield task


def progress() -> Progress:
    """Return a progress bar on standard error, which shows itself only where somebody watches."""
    from rich.console import Console  # noqa: PLC0415  only where many are sent
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AsyaError(f"{path} cannot be read: {error.strerror}") from None


def _checked(text: bytes, place: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "; text needs quotes: '\"hello\"'" if place == "the payload" else ""
        raise AsyaError(f"{place} is not JSON: {error}{hint}") from None
    return msgspec.Raw(text)
