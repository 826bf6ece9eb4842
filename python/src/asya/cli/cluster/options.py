"""When a cluster is meant, and which: the options that commands share.

A cluster is meant when --namespace, --context or --kubeconfig is given; an `asya up` when --state is. With none of
them it is the `asya up` whose state folder is here, running or not; only where there is none, the kubeconfig's current
context. Which cluster it is, is told before anything is done there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from asya.cli.shared import server_option

F = TypeVar("F", bound=Callable[..., object])
DEFAULT_KUBECONFIG = "~/.kube/config"
_FLAGS = {"namespace": "--namespace", "context": "--context", "kubeconfig": "--kubeconfig"}
_STATE_FILES = ("lock", "api.json")
_GATEWAY = "needs the gateway, which keeps track of tasks in a cluster and is not part of this version"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A cluster: the files of `kubeconfig` (as KUBECONFIG has them), a context in them, a namespace.

    None is the file's own: its current context, and the namespace of the context.
    """

    kubeconfig: str
    context: str | None = None
    namespace: str | None = None


def mesh_options(command: F) -> F:
    """Add --state, --namespace, --context and --kubeconfig; the command gets `state` and `cluster` (a Choice or None).

    Raises:
        click.UsageError: Both an `asya up` and a cluster are named.
    """

    @functools.wraps(command)
    def chosen(*, namespace: str | None, context: str | None, kubeconfig: str, **given: Any) -> object:  # noqa: ANN401  of any command
        choice = Choice(kubeconfig=kubeconfig, context=context, namespace=namespace)
        return command(cluster=choice if _is_cluster(given["state"], kubeconfig) else None, **given)

    options = [
        server_option,
        click.option("-n", "--namespace", help="Namespace in a cluster. When absent, the context's, else default."),
        click.option("--context", help="Context of the kubeconfig: the cluster. When absent, the current one."),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            default=DEFAULT_KUBECONFIG,
            show_default=True,
            envvar="KUBECONFIG",
            show_envvar=True,
            help="How clusters are reached.",
        ),
    ]
    for option in reversed(options):
        chosen = option(chosen)
    return chosen  # type: ignore[return-value]  # what click calls with the options' names


def only_local(cluster: Choice | None, what: str) -> None:
    """Refuse what only an `asya up` can tell.

    Raises:
        click.UsageError: It is asked of a cluster.
    """
    if cluster is not None:
        raise click.UsageError(f"{what} {_GATEWAY}; for an `asya up` on this machine give its --state")


def _is_cluster(state: Path, kubeconfig: str) -> bool:
    source = click.get_current_context().get_parameter_source
    flags = [flag for name, flag in _FLAGS.items() if source(name) is ParameterSource.COMMANDLINE]
    if flags and source("state") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--state is an `asya up` on this machine, {flags[0]} a cluster: give one of them")
    if flags or source("state") is not ParameterSource.DEFAULT:
        return bool(flags)
    if any((state / name).exists() for name in _STATE_FILES):
        return False
    from asya.cli.cluster.kubeconfig import exists  # noqa: PLC0415  YAML is for clusters only

    return exists(kubeconfig)
