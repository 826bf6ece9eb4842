"""What actors talk to, beside the node: RabbitMQ, moto for Amazon's services, PostgreSQL, the Pub/Sub emulator.

Each listens on the node's address, so pods and programs in the cluster's network reach it, and nobody else.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path

from tests.cluster.plan import ClusterError, Plan
from tests.cluster.processes import Component, Http, Listening

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PUBSUB = Path("/usr/lib/google-cloud-sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator")
ADMINISTRATOR = "asya-admin"
_STATISTICS_MILLISECONDS = 1000
_SAMPLE_SECONDS = {"global": 5, "basic": 1, "detailed": 5}
"""What the management API tells of a queue is as old as the last sample, however often it collects them."""


def password(plan: Plan) -> str:
    """Return the password of the brokers' administrator, made at the first call."""
    path = plan.state / "broker-password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(16))
    return path.read_text()


def rabbitmq(plan: Plan) -> Component:
    """RabbitMQ with its management API, which counts messages every second instead of every five."""
    folder, net = plan.state / "rabbitmq", plan.network
    settings = [
        f"listeners.tcp.1 = {net.at(net.amqp)}",
        f"management.tcp.ip = {net.node}",
        f"management.tcp.port = {net.rabbitmq_management}",
        f"default_user = {ADMINISTRATOR}",
        f"default_pass = {password(plan)}",
        f"collect_statistics_interval = {_STATISTICS_MILLISECONDS}",
        *(f"management.sample_retention_policies.{name}.minute = {each}" for name, each in _SAMPLE_SECONDS.items()),
        "disk_free_limit.absolute = 50MB",
        "log.file = false",
        "log.console = true",
    ]
    ticks = f"[{{rabbit, [{{quorum_tick_interval, {_STATISTICS_MILLISECONDS}}}]}}].\n"
    files = {
        folder / "rabbitmq.conf": "\n".join(settings) + "\n",
        folder / "advanced.config": ticks,
        folder / "enabled_plugins": "[rabbitmq_management].\n",
        # A file of its own keeps the system's /etc/rabbitmq/rabbitmq-env.conf out.
        folder / "rabbitmq-env.conf": "",
    }
    environment = {
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        # "Allow input" makes the script exec the VM, so that the process is the node itself; -noinput takes it back.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_START_ARGS": "-noinput",
    }
    ready = Listening(net.node, net.rabbitmq_management)
    return Component("rabbitmq", (str(RABBITMQ),), ready, files, environment)


def rabbitmq_version() -> str:
    """Return the version of the installed broker, major and minor.

    Raises:
        ClusterError: Its files are not where Debian puts them.
    """
    found = sorted(RABBITMQ.parent.parent.glob("lib/rabbitmq_server-*"))
    if not found:
        raise ClusterError(f"the version of RabbitMQ is not told by a folder beside {RABBITMQ.parent}")
    return ".".join(found[-1].name.rpartition("-")[2].split(".")[:2])


def moto(plan: Plan) -> Component:
    """Amazon's S3, SQS and IAM in memory. A POST of 0 to /moto-api/reset-auth makes it check who may do what."""
    net = plan.network
    command = (sys.executable, "-m", "moto.server", f"--host={net.node}", f"--port={net.moto}")
    return Component("moto", command, Http(f"http://{net.at(net.moto)}/moto-api/"))


def postgresql_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None when it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def postgresql(plan: Plan, programs: Path) -> Component:
    """PostgreSQL, run by Debian's user for it; its administrator has the brokers' password."""
    net, folder = plan.network, plan.state / "postgresql"
    script = f"""set -e
install -d -o postgres -g postgres -m 700 {folder} /run/postgresql
install -o postgres -m 600 {plan.state}/broker-password {folder}/password
cd {folder}
as="setpriv --reuid=postgres --regid=postgres --init-groups"
[ -f data/PG_VERSION ] || $as {programs}/initdb --pgdata=data --username={ADMINISTRATOR} --pwfile=password \\
  --auth=scram-sha-256 --no-sync --encoding=UTF8 --locale=C
exec $as {programs}/postgres -D {folder}/data -h {net.node} -p {net.postgresql} -c fsync=off
"""
    password(plan)
    return Component("postgresql", ("sh", "-c", script), Listening(net.node, net.postgresql))


def pubsub(plan: Plan) -> Component:
    """Google's own emulator of Pub/Sub."""
    net = plan.network
    # Its HTTP API asks its own gRPC API over loopback; in this network there is nobody else whom all addresses let in.
    command = (str(PUBSUB), "--host=0.0.0.0", f"--port={net.pubsub}")
    return Component("pubsub", command, Http(f"http://{net.at(net.pubsub)}/"))


def all_there(plan: Plan) -> tuple[list[Component], list[str]]:
    """Return the brokers that can be started on this machine, and in words which cannot."""
    found, lacking = [moto(plan)], []
    if RABBITMQ.exists():
        found.append(rabbitmq(plan))
    else:
        lacking.append(f"RabbitMQ: {RABBITMQ} is missing (Debian's rabbitmq-server)")
    if (programs := postgresql_programs()) is not None:
        found.append(postgresql(plan, programs))
    else:
        lacking.append("PostgreSQL: not installed (Debian's postgresql)")
    if PUBSUB.exists() and shutil.which("java"):
        found.append(pubsub(plan))
    else:
        lacking.append("Pub/Sub: no emulator here (component pubsub-emulator of the Google Cloud SDK, and Java)")
    return found, lacking
