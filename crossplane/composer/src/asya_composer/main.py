"""The function's process: flags in, a server out."""

from __future__ import annotations

from typing import Any

import click
from crossplane.function import cli

from asya_composer.function import Runner


@click.command()
@cli.standard_options
def main(**options: Any) -> None:  # noqa: ANN401  flags of the SDK
    """Serve function-asya."""
    cli.run(Runner(), **options)


if __name__ == "__main__":
    main()
