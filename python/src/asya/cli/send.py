"""`asya send`: messages into the mesh, and their outcome back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from asya.cli.client import Client
from asya.cli.cluster.options import Choice, mesh_options, only_local
from asya.cli.outcome import show_outcome, tells_what_goes_on, wait_for
from asya.cli.sending import NewMessage, read_payload, read_payloads, send_many
from asya.cli.shared import EXIT_NOT_SUCCEEDED, output_option, print_json, tells_errors
from asya.errors import PolicyError
from asya.policy import parse_duration


def _seconds(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001  click's signature
    try:
        return None if text is None else parse_duration(text)
    except PolicyError as error:
        raise click.BadParameter(str(error)) from None


def _headers(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:  # noqa: ARG001  click's signature
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


@click.command("send", no_args_is_help=True)
@click.argument("actor", metavar="ACTOR")
@click.argument("payload", metavar="[PAYLOAD]", required=False)
@click.option("-p", "--payload", "payload_option", metavar="PAYLOAD", help="The same as the argument.")
@click.option("--many", metavar="FILE", help="One message for each line of a JSON Lines file; - is standard input.")
@click.option("--route", metavar="A,B,...", default="", help="Actors to visit after ACTOR.")
@click.option(
    "--header", "headers", metavar="NAME=VALUE", multiple=True, callback=_headers, help="Header (repeatable)."
)
@click.option("--timeout", metavar="5m", callback=_seconds, help="Deadline of the whole task, from now.")
@click.option("--id", "task_id", metavar="ID", help="Id of the task; else one is made.")
@click.option("--wait", is_flag=True, help="Wait for the outcome and print the result.")
@click.option("--wait-all", is_flag=True, help="Wait for everything it fanned out into as well.")
@click.option("--stream", is_flag=True, help="Print events as the handlers emit them (FLY); waits too.")
@output_option
@mesh_options
@tells_errors
def command(
    actor: str,
    payload: str | None,
    payload_option: str | None,
    many: str | None,
    route: str,
    headers: dict[str, Any],
    timeout: float | None,
    task_id: str | None,
    wait: bool,  # noqa: FBT001  click passes options by name
    wait_all: bool,  # noqa: FBT001  as above
    stream: bool,  # noqa: FBT001  as above
    state: Path,
    cluster: Choice | None,
    output: str,
) -> None:
    """Send a message to an actor, and wait for its outcome if asked to.

    PAYLOAD is JSON, @FILE, or - for standard input. Without --wait the task's id is printed. With it the result goes
    to standard output as JSON, if it succeeded, and how it ended to standard error. With --many each line of output
    is the result of the same line of FILE, null where it failed; why it failed goes to standard error.

    ACTOR is one of an `asya up` on this machine, or of a cluster: of a cluster when --namespace, --context or
    --kubeconfig is given, or when there is no `asya up` here but a kubeconfig. Then the message goes straight into
    the actor's queue, and its id is printed once the broker has confirmed it. RabbitMQ is reached through the API
    server, with the Secret that the platform's Composition names; SQS and Pub/Sub with your own cloud credentials.
    Outcomes (--wait, --stream) are told by `asya up` only: in a cluster that is the gateway's part, which is not
    there yet.

    \b
    Examples:
      asya send load '{"folder": "/tmp/photos"}' --wait
      asya send resize @picture.json --route caption,store --timeout 5m --wait
      asya send chat '{"prompt": "Hello"}' --stream
      asya send resize --many pictures.jsonl --wait
      asya send clean '{"text": "hello"}' --namespace hello
      asya send resize --many pictures.jsonl -n shop --context production

    \b
    Exit status:
      0    sent; with --wait or --stream: succeeded, all of them
      1    not sent, or the outcome could not be learnt
      2    wrong usage, such as --wait in a cluster
      3    a task failed, was canceled or is paused
      130  Ctrl-C while waiting; what was sent goes on
    """  # noqa: D301  click reads the real character
    given = [value for value in (payload, payload_option, many) if value is not None]
    if len(given) != 1:
        raise click.UsageError("give one of PAYLOAD, --payload and --many")
    if many is not None and (task_id is not None or stream):
        raise click.UsageError("--id and --stream are for one message, not for --many")
    message = NewMessage(
        actor=actor,
        route=[name.strip() for name in route.split(",") if name.strip()],
        headers=headers,
        timeout=timeout,
        id=task_id,
    )
    waits = wait or wait_all or stream
    if waits:
        only_local(cluster, "--stream" if stream else "--wait-all" if wait_all else "--wait")
    payloads = read_payloads(many) if many is not None else [read_payload(given[0])]
    if cluster is not None:
        from asya.cli.send_cluster import send_to_cluster  # noqa: PLC0415  pydantic is for clusters only

        send_to_cluster(cluster, message, payloads, as_json=output == "json")
        return
    with Client(state) as client:
        if many is not None:
            ended = send_many(client, message, payloads, wait=waits, everything=wait_all, as_json=output == "json")
            sys.exit(0 if ended else EXIT_NOT_SUCCEEDED)
        created = client.send(actor, message.body(payloads[0]))
        if not waits:
            print_json({"id": created}) if output == "json" else click.echo(created)
            return
        with tells_what_goes_on(created):
            task = wait_for(client, created, everything=wait_all, show_events=stream, as_json=output == "json")
        show_outcome(task, as_json=output == "json")
    succeeded = task["status"] == "succeeded" and not (wait_all and _children_missing(task))
    sys.exit(0 if succeeded else EXIT_NOT_SUCCEEDED)


def _children_missing(task: dict[str, Any]) -> bool:
    children = task["children"]
    return bool(children["total"] != children["succeeded"])
