"""`asya send` to a cluster: straight into the actor's queue, confirmed by the broker."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

import click
import msgspec

from asya.cli.cluster.api import Cluster
from asya.cli.cluster.options import Choice
from asya.cli.cluster.sending import hints, look_up, publish
from asya.cli.sending import NewMessage, progress
from asya.cli.shared import EXIT_INTERRUPTED, print_json
from asya.errors import AsyaError, WireError
from asya.wire import Envelope, decode, encode, new_envelope, raw

_ID_CHARS = 200


def send_to_cluster(choice: Choice, message: NewMessage, payloads: Sequence[msgspec.Raw], *, as_json: bool) -> None:
    """Send a message for each payload, and print each id once the broker has confirmed it, in their order.

    Raises:
        AsyaError: Not all are confirmed.
    """
    now = time.time()
    envelopes = [_envelope(message, payload, now) for payload in payloads]
    cluster = Cluster(choice)
    if not as_json:
        click.echo(f"context {cluster.context}, namespace {cluster.namespace}", err=True)
    actors = look_up(cluster, [message.actor, *message.route])
    if not as_json:
        for hint in hints(actors):
            click.echo(f"{click.style('note:', fg='yellow')} {hint}", err=True)
    confirmed: list[str] = []
    with _interruptible(confirmed, len(envelopes)), progress() as bar:
        step = bar.add_task("confirmed", total=len(envelopes), visible=len(envelopes) > 1)

        def on_confirmed(message_id: str) -> None:
            confirmed.append(message_id)
            bar.advance(step)
            print_json({"id": message_id}) if as_json else click.echo(message_id)

        publish(cluster, actors[0], envelopes, on_confirmed)


def _envelope(message: NewMessage, payload: msgspec.Raw, now: float) -> Envelope:
    if message.id is not None and (
        not 0 < len(message.id) <= _ID_CHARS or not message.id.isprintable() or "/" in message.id
    ):
        raise AsyaError(f"an id has 1 to {_ID_CHARS} printable characters and no slash")
    if message.timeout is not None and message.timeout <= 0:
        raise AsyaError("the timeout is 0; expected more")
    envelope = new_envelope(
        [message.actor, *message.route],
        payload,
        now=now,
        envelope_id=message.id,
        headers={name: raw(value) for name, value in message.headers.items()},
        deadline_at=None if message.timeout is None else now + message.timeout,
    )
    try:
        decode(encode(envelope))
    except WireError as error:
        raise AsyaError(str(error)) from None
    return envelope


@contextlib.contextmanager
def _interruptible(confirmed: Sequence[str], wanted: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\n{len(confirmed)} of {wanted} messages are confirmed; others may be in the queue", err=True)
        sys.exit(EXIT_INTERRUPTED)
