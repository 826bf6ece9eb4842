"""`asya up`: run the actors of a folder on this machine."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asya.cli.shared import output_option, state_option, tells_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asya.local.console import Console
    from asya.local.plan import MeshPlan
    from asya.local.supervisor import Options


def _namespace(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:  # noqa: ARG001  click's signature
    from asya.api.fields import is_label  # noqa: PLC0415  pydantic; not needed for --help

    if name is not None and not is_label(name):
        raise click.BadParameter(f"{name!r} is not a DNS label (lower-case letters, digits and dashes, at most 63)")
    return name


METRICS_PORT = 9464
"""What OpenTelemetry's Prometheus exporters listen on too."""


class _Up(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let ``--metrics DIR`` mean the folder: only something that looks like an address belongs to the option."""
        return super().parse_args(ctx, [_with_port(args, number) for number in range(len(args))])


def _with_port(args: list[str], number: int) -> str:
    following = args[number + 1] if number + 1 < len(args) else ""
    if args[number] == "--metrics" and not _ADDRESS.fullmatch(following):
        return f"--metrics={METRICS_PORT}"
    return args[number]


_ADDRESS = re.compile(r"(?:(?P<host>[^/:]*):)?(?P<port>\d+)")


def _metrics_port(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:  # noqa: ARG001  click's signature
    if text is None:
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise click.BadParameter(f"{text!r} is not an address; write --metrics=PORT or --metrics=127.0.0.1:PORT")
    if found["host"] not in (None, "", "127.0.0.1", "localhost"):
        raise click.BadParameter(f"{found['host']} is not loopback; metrics are served on 127.0.0.1 only")
    return int(found["port"])


@click.command("up", cls=_Up, no_args_is_help=True)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--transport",
    type=click.Choice(["sqlite", "rabbitmq", "sqs", "pubsub", "redis"]),
    default="sqlite",
    show_default=True,
    envvar="ASYA_TRANSPORT",
    show_envvar=True,
    help="Where the queues are: a file in the state folder, or a broker, which the variables ASYA_RABBITMQ_*, "
    "ASYA_AWS_REGION and ASYA_SQS_*, ASYA_PUBSUB_*, or ASYA_REDIS_* lead to.",
)
@click.option(
    "--rabbitmq-url",
    metavar="URL",
    help="amqp:// address, with --transport rabbitmq; else the ASYA_RABBITMQ_* variables count.",
)
@click.option(
    "--namespace", metavar="NAME", callback=_namespace, help="Namespace to run; else the manifests', else `default`."
)
@state_option("Folder for queues, tasks, logs and the API's address. It can be removed when nothing runs.")
@click.option(
    "--fresh/--keep", default=False, help="Forget queues, tasks and logs of earlier runs, or go on with them."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the API on 127.0.0.1; 0: any free one.")
@click.option(
    "--metrics",
    "metrics_port",
    metavar="[ADDR]",
    callback=_metrics_port,
    help=f"Serve Prometheus metrics of all replicas and a live page on 127.0.0.1, port {METRICS_PORT} unless ADDR "
    "([127.0.0.1:]PORT) says another.",
)
@click.option("--actor", "actors", metavar="NAME", multiple=True, help="Run only this actor (repeatable).")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="NAME=value lines that stand in for Secrets and ConfigMaps; default: DIR/.env.",
)
@click.option("--exit-when-idle", is_flag=True, help="End when the first messages came and all queues are empty again.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="Least level of sidecars' and runtimes' own log lines shown here; what handlers print is always shown.",
)
@output_option
@tells_errors
def command(
    folder: Path,
    transport: str,
    rabbitmq_url: str | None,
    namespace: str | None,
    state: Path,
    fresh: bool,  # noqa: FBT001  click passes options by name
    port: int,
    metrics_port: int | None,
    actors: tuple[str, ...],
    env_file: Path | None,
    exit_when_idle: bool,  # noqa: FBT001  as above
    log_level: str,
    output: str,
) -> None:
    """Run the actors of a folder on this machine.

    Reads every AsyncActor manifest under DIR, makes the queues, and scales each actor from nothing and back by its
    backlog, as KEDA would (a manifest without pollingInterval is looked at every second here). Handlers are imported
    from DIR/ACTOR/, then from the manifest's folder. Crew actors (x-sink, x-sump) come by themselves. --fresh empties
    the state folder; queues of a RabbitMQ are left as they are.

    In the state folder: api.json (where clients find the API), status.jsonl (replicas and queues over time),
    logs/ACTOR-N.log, queue.db, tasks.db; with --metrics, metrics/ for Prometheus and Grafana. One `asya up` per folder.

    Ctrl-C lets running calls finish; a second one ends everything at once. What is still queued waits for the next
    start.

    \b
    Examples:
      asya up examples/photos
      asya up examples/photos --metrics
      asya up examples/photos --exit-when-idle --fresh -o json
      asya up actors --transport rabbitmq --rabbitmq-url amqp://guest:guest@localhost/

    \b
    Exit status:
      0    ended well (Ctrl-C, or idle and no task failed)
      1    could not begin: manifests, settings, state folder in use, no broker
      2    wrong usage
      3    idle, and a task failed or a message is in a dead-letter queue (--exit-when-idle)
      4    messages are left that no actor here can handle (--exit-when-idle)
      130  ended at once by a second Ctrl-C
    """  # noqa: D301  click reads the real character
    from asya.api import read_manifests  # noqa: PLC0415  pydantic; not needed for --help
    from asya.local.console import Console  # noqa: PLC0415  as above
    from asya.local.plan import make_plan  # noqa: PLC0415  as above
    from asya.local.supervisor import Options  # noqa: PLC0415  as above
    from asya.settings import process_environment  # noqa: PLC0415  as above

    if rabbitmq_url is not None and transport != "rabbitmq":
        raise click.UsageError("--rabbitmq-url needs --transport rabbitmq")
    environ = process_environment()
    plan = make_plan(
        read_manifests([folder]),
        folder if folder.is_dir() else folder.parent,
        transport=transport,
        namespace=namespace,
        only=actors,
        variables=_variables(env_file, folder),
        environ=environ,
    )
    console = Console(
        colour=output == "text" and sys.stdout.isatty() and "NO_COLOR" not in environ,
        as_json=output == "json",
        level=log_level,
    )
    for note in plan.notes:
        console.event("note", note)
    for warning in plan.warnings:
        console.event("warning", warning, level="warning")
    transport_env = _transport_environment(environ, transport, rabbitmq_url, plan.namespace)
    options = Options(
        transport_env=transport_env,
        # The sidecars' own lines go to the log files from level info on, whatever is shown here.
        log_level="debug" if log_level == "debug" else "info",
        port=port,
        exit_when_idle=exit_when_idle,
        metrics_port=metrics_port,
    )
    sys.exit(_run(plan, console, options, state, fresh=fresh))


def _run(plan: MeshPlan, console: Console, options: Options, state: Path, *, fresh: bool) -> int:
    from asya.local.state import StateFolder  # noqa: PLC0415  not needed for --help
    from asya.local.supervisor import Supervisor  # noqa: PLC0415  as above
    from asya.settings import load  # noqa: PLC0415  as above
    from asya.transports import open_transport  # noqa: PLC0415  as above
    from asya.transports.settings import TransportSettings  # noqa: PLC0415  as above

    folder = StateFolder(state, fresh=fresh)
    try:
        transport_env = {**options.transport_env, "ASYA_SQLITE_PATH": str(folder.queue)}
        settings = load(TransportSettings, transport_env)
        told = replace(options, transport_env=transport_env)

        async def run() -> int:
            return await Supervisor(plan, folder, open_transport(settings), console, told).run()

        return asyncio.run(run())
    finally:
        folder.release()


def _variables(env_file: Path | None, folder: Path) -> Mapping[str, str] | None:
    path = env_file or folder / ".env"
    if not path.is_file():
        return None
    from dotenv import dotenv_values  # noqa: PLC0415  only where there is such a file

    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


def _transport_environment(
    environ: Mapping[str, str], transport: str, rabbitmq_url: str | None, namespace: str
) -> dict[str, str]:
    """Return the variables that lead every sidecar to the same queues as us."""
    kept = (
        "ASYA_RABBITMQ_",
        "ASYA_SQLITE_",
        "ASYA_AWS_",
        "ASYA_SQS_",
        "ASYA_PUBSUB_",
        "ASYA_REDIS_",
        "ASYA_QUEUE_NAMES",
    )
    found = {name: value for name, value in environ.items() if name.startswith(kept)}
    found |= {"ASYA_TRANSPORT": transport, "ASYA_NAMESPACE": namespace}
    return found | ({"ASYA_RABBITMQ_URL": rabbitmq_url} if rabbitmq_url else {})
