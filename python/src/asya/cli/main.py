"""`asya`: the commands, each imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import click

from asya import __version__

_COMMANDS = {
    "up": "Run the actors of a folder on this machine.",
    "send": "Send a message to an actor, and wait for its outcome if asked to.",
    "ps": "List actors: replicas, queues, what is wrong.",
    "trace": "Show every hop of a task and of what it fanned out into.",
    "cancel": "Cancel a task and all its descendants.",
    "dlq": "Look at dead letters, send them on their way again, or drop them.",
    "validate": "Check manifests and list every problem in them.",
    "render": "Show what actors are composed of in a cluster, and what would change there.",
}


class _Lazy(MutableMapping[str, click.Command]):
    """Commands by name, from ``asya.cli.<name>.command``."""

    def __init__(self) -> None:
        self._added: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._added:
            if name not in _COMMANDS:
                raise KeyError(name)
            self._added[name] = importlib.import_module(f"asya.cli.{name}").command
        return self._added[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class _Group(click.Group):
    def __init__(self, **given: Any) -> None:  # noqa: ANN401  whatever the decorator passes
        super().__init__(**given)
        self.commands = _Lazy()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the base's signature
        """Name the commands in the order of a first use."""
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="asya", message="%(prog)s %(version)s")
def main() -> None:
    """Actor mesh for AI workloads: plain Python functions, queues between them.

    \b
    asya up examples/photos              run the actors of a folder
    asya send load '{}' --wait           send one message, wait for its outcome
    asya trace ID                        see where it went

    Every command takes --help, says its exit codes there, and prints JSON with -o json.
    """  # noqa: D301  click reads the real character


if __name__ == "__main__":
    main()
