"""`asya dlq`: dead letters of actors: look, redrive, drop."""

from __future__ import annotations

import click

from asya.cli.dlq_act import drop, redrive
from asya.cli.dlq_look import list_, show


@click.group("dlq", no_args_is_help=True)
def command() -> None:
    """Look at dead letters, send them on their way again, or drop them.

    A dead letter is a message that nothing more was done with: it was delivered too often without an answer
    (delivery-limit), was too large to be handed on (too-large), or x-sump itself could not keep it (sump-failed).
    Messages whose handler failed for good are not here: they go to x-sink, and so to their task's outcome.

    Whose dead letters: of the `asya up` here, running or not; of a cluster, with --namespace, --context or
    --kubeconfig; of any broker, with --transport.

    \b
    Examples:
      asya dlq list
      asya dlq show resize
      asya dlq redrive resize --where reason=delivery-limit --dry-run
      asya dlq drop resize --older-than 30d

    Exit status: 0 done; 1 error; 2 wrong usage; 3 not all of what was named was done; 130 Ctrl-C.
    """  # noqa: D301  click reads the real character


for _each in (list_, show, redrive, drop):
    command.add_command(_each)
