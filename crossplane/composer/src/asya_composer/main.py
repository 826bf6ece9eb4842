"""The function's process: flags in, a server out."""

from __future__ import annotations

import gc
from typing import Any

import click
from crossplane.function import cli

from asya_composer.function import Runner

MAX_REQUEST_MIB = 64
"""At its birth an actor's request holds all of the namespace; at some 8 KiB each, gRPC's own 4 MiB would be 500."""


GARBAGE = 50_000
"""Objects more than before, upon which garbage is looked for: more than one answer makes, even among 1,000 actors."""


def prepare() -> None:
    """Keep the collector of garbage out of answers: what is loaded by now stays, and need not be looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@click.command(context_settings={"default_map": {"max_recv_message_size": MAX_REQUEST_MIB}})
@cli.standard_options
def main(**options: Any) -> None:  # noqa: ANN401  flags of the SDK
    """Serve function-asya."""
    prepare()
    cli.run(Runner(), **options)


if __name__ == "__main__":
    main()
