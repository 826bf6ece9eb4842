"""A private RabbitMQ node for tests: Debian's real broker, loopback only, in a temporary folder.

`Broker` is a context manager. It starts its own epmd and its own node (both children of this process that die with it),
waits until the node answers, and ends only these two. `stop`, `kill` and `start` on the same data make restarts.

`shared` is one node for several processes. The first starts this module as a process of its own, which holds the node
until nobody uses it any more. Who uses it holds a file lock, which the system takes back also from a process that dies.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.host import Started, dies_with_parent, free_port, install

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
READY_SECONDS = 60.0
SHARED_TICK = 0.2


class NotStartedError(Exception):
    """The broker is installed and did not come up; the text has its last words."""


def ensure_installed(environ: Mapping[str, str]) -> None:
    """Have Debian's rabbitmq-server, installing it when allowed.

    Raises:
        NotInstalledError: It is not there and may or could not be installed.
    """
    if not SERVER.exists():
        install("rabbitmq-server", environ, "name a broker by ASYA_TEST_RABBITMQ_URL")


@dataclass
class Broker(Started):
    """One private node.

    `tls` may hold `cacertfile`, `certfile`, `keyfile`: then `tls_port` listens too. `tick` is how often, in seconds,
    quorum queues tell how many messages they hold: the default is RabbitMQ's, tests of numbers would wait for it.
    """

    tls: Mapping[str, Path] | None = None
    tick: float = 5.0
    extra_config: str = ""
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)
    alarmed: bool = field(default=False, init=False)
    _epmd_port: int = field(default_factory=free_port)
    _dist_port: int = field(default_factory=free_port)
    _folder: Path = field(init=False)
    _epmd: subprocess.Popen[bytes] | None = None
    _node: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="asya-rabbitmq-"))

    @property
    def url(self) -> str:
        """AMQP address of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        """Address of the management API, credentials included."""
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    @property
    def running(self) -> bool:
        """Whether the node was started and has not ended."""
        return self._node is not None and self._node.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        assert self._node is not None
        return self._node.pid

    def start(self) -> None:
        """Start the node on the data it had, and wait until it answers."""
        environment = self._environment()
        # The signal comes when the starting *thread* ends, so only the main thread's life will do.
        guarded = dies_with_parent if threading.current_thread() is threading.main_thread() else list
        if self._epmd is None:
            epmd = shutil.which("epmd")
            assert epmd is not None, "rabbitmq-server depends on erlang-base, which brings epmd"
            self._epmd = subprocess.Popen(
                guarded([epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"]),
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        with (self._folder / "console.log").open("ab") as console:
            # The script itself, not Debian's wrapper, which would switch to another user and use the system's folders.
            self._node = subprocess.Popen(
                guarded([str(SERVER)]),
                env=environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self._wait_ready()

    def stop(self) -> None:
        """End the node in order (SIGTERM), keeping its data."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node at once (SIGKILL), keeping what it had written."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in order, then start on the same data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End the node and its epmd, and delete the data."""
        self._end(signal.SIGKILL)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(10)
            self._epmd = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def management(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API; `path` begins with ``/api/``. None when there is no answer body."""
        return call_management(self.management_url, method, path, body)

    def new_vhost(self) -> str:
        """Make a virtual host that nobody else uses, and return the URL of it."""
        return new_vhost(self.url, self.management_url)

    def set_memory_alarm(self, *, on: bool) -> None:
        """Make the node believe that it is short of memory, so that it blocks whoever publishes; or end that."""
        self.control("set_vm_memory_high_watermark", "absolute" if on else "0.4", *(["1MB"] if on else []))
        self.alarmed = on

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node, and return what it printed."""
        command = [str(SERVER.with_name("rabbitmqctl")), "--quiet", *arguments]
        done = subprocess.run(
            command, env=self._environment(), cwd=self._folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def logs(self) -> str:
        """The node's log, for a failure message."""
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self._folder.glob("**/*.log")))

    def _end(self, number: signal.Signals) -> None:
        node, self._node = self._node, None
        if node is None:
            return
        node.send_signal(number)
        try:
            node.wait(30)
        except subprocess.TimeoutExpired:
            node.kill()
            node.wait(10)

    def _wait_ready(self) -> None:
        assert self._node is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._node.poll() is not None:
                raise NotStartedError(f"rabbitmq-server ended with {self._node.returncode}\n{self.logs()}")
            try:
                # Listeners are the last step of the node's start, so an answer here means that it serves.
                self.management("GET", "/api/overview")
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        raise NotStartedError(f"rabbitmq-server did not answer within {READY_SECONDS:.0f} s\n{self.logs()}")

    def _environment(self) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self._folder / "rabbitmq.conf").write_text(self._config())
        ticks = f"[{{rabbit, [{{quorum_tick_interval, {round(self.tick * 1000)}}}]}}].\n"
        (self._folder / "advanced.config").write_text(ticks)
        # A file of its own keeps the system's /etc/rabbitmq/rabbitmq-env.conf out.
        (self._folder / "rabbitmq-env.conf").touch()
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "rabbitmq-env.conf"),
            "RABBITMQ_NODENAME": f"asya{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # "Allow input" makes the script exec the VM, so that the child is the node itself; -noinput takes it back.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
        }

    def _config(self) -> str:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.management_port}",
            "disk_free_limit.absolute = 50MB",
            "log.file.level = info",
        ]
        if self.tls is not None:
            lines += [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}"]
            lines += [f"ssl_options.{key} = {path}" for key, path in self.tls.items()]
            lines += ["ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true"]
        return "\n".join(lines) + "\n" + self.extra_config


def call_management(base: str, method: str, path: str, body: object = None) -> Any:
    """Call a broker's management API (`base` carries the credentials)."""
    parts = urllib.parse.urlsplit(base)
    login = f"{urllib.parse.unquote(parts.username or '')}:{urllib.parse.unquote(parts.password or '')}"
    request = urllib.request.Request(
        f"{parts.scheme}://{parts.hostname}:{parts.port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def new_vhost(url: str, management_url: str) -> str:
    """Make a virtual host with a fresh name at the broker of `url`, open to the user of `url`; return its URL."""
    parts = urllib.parse.urlsplit(url)
    name = f"test-{secrets.token_hex(6)}"
    call_management(management_url, "PUT", f"/api/vhosts/{name}")
    user = urllib.parse.unquote(parts.username or "guest")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    call_management(management_url, "PUT", f"/api/permissions/{name}/{user}", everything)
    return urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))


def drop_vhost(url: str, management_url: str) -> None:
    """Delete the virtual host of `url` with everything in it."""
    call_management(management_url, "DELETE", f"/api/vhosts{urllib.parse.urlsplit(url).path}")


@dataclass(frozen=True)
class BrokerAddress:
    """Where a broker is. `management_url` is None where only an address for AMQP is known."""

    url: str
    management_url: str | None


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[BrokerAddress]:
    """Use the node of `folder` together with others, starting it if there is none; the last to leave ends it.

    Raises:
        NotStartedError: It did not start.
    """
    with (folder / "users").open("a") as users, contextlib.ExitStack() as stack:
        fcntl.flock(users, fcntl.LOCK_SH)
        with (folder / "starting").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            address = _running(folder) or stack.enter_context(_started(folder))
        yield address
        # Before the process that holds the node is waited for: it ends when this lock is free.
        users.close()


def _running(folder: Path) -> BrokerAddress | None:
    try:
        address = BrokerAddress(**json.loads((folder / "address.json").read_text()))
        parts = urllib.parse.urlsplit(address.url)
        socket.create_connection((parts.hostname, parts.port), 1).close()
    except OSError:
        return None
    return address


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[BrokerAddress]:
    log = folder / "broker.log"
    with log.open("ab") as output:
        holder = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # What is typed at the terminal is for the tests, which then leave the node in order.
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 2 * READY_SECONDS
        while (address := _running(folder)) is None:
            if holder.poll() is not None or time.monotonic() > deadline:
                raise NotStartedError(f"no broker was started\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield address
    finally:
        # Others may use the node for longer than this process lives; then nobody waits for its end.
        with contextlib.suppress(subprocess.TimeoutExpired):
            holder.wait(5)


def hold(folder: Path) -> None:
    """Have a node running for `folder` until nobody uses it."""
    with (folder / "users").open("a") as users, Broker(tick=SHARED_TICK) as broker:
        address = folder / "address.json"
        unseen = address.with_suffix(".new")
        unseen.write_text(json.dumps({"url": broker.url, "management_url": broker.management_url}))
        unseen.rename(address)
        fcntl.flock(users, fcntl.LOCK_EX)
        address.unlink()


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
