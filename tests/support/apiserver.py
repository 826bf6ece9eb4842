"""A real API server for tests: etcd and kube-apiserver on loopback, in a temporary folder, no node behind them.

`ApiServer` is a context manager. Both programs are children of this process and die with it; leaving it ends only
these two. They are built by `make tools` from their Go modules.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from tests.support.host import Started, dies_with_parent, free_port

ROOT = Path(__file__).parents[2]
READY_SECONDS = 90.0
STOP_SECONDS = 10.0
# Documentation's addresses (RFC 5737): the server wants to advertise one that is not loopback, and nobody asks for it.
_ADVERTISED = "192.0.2.1"
_SERVICES = "198.51.100.0/24"


class ServerUnavailableError(Exception):
    """No API server can be had here; the text says why."""


def program(name: str) -> Path:
    """Return where a program is that `make tools` builds.

    Raises:
        ServerUnavailableError: It has not been built.
    """
    command = [sys.executable, str(ROOT / "tools" / "go_tools.py"), "path", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise ServerUnavailableError(done.stderr.strip() or f"{name} is not built; `make tools` builds it")
    return Path(done.stdout.strip())


@dataclass
class ApiServer(Started):
    """One private API server with its etcd; `token` is that of a cluster administrator.

    `admission` are names of admission plugins besides those that are on by default.
    """

    admission: Sequence[str] = ()
    url: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    _folder: tempfile.TemporaryDirectory[str] = field(default_factory=lambda: tempfile.TemporaryDirectory("-apiserver"))
    _running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self) -> None:
        """Start both and wait until the API server is ready."""
        etcd, apiserver = program("etcd"), program("kube-apiserver")
        self._write_files()
        client, peer = free_port(), free_port()
        store = f"http://127.0.0.1:{client}"
        self._start("etcd", [str(etcd), *_etcd_options(self.folder / "etcd", store, f"http://127.0.0.1:{peer}")])
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self._start("kube-apiserver", [str(apiserver), *_server_options(self.folder, store, port), *self._more()])
        self._wait_until_ready()

    @property
    def folder(self) -> Path:
        """Data, certificates and logs; gone after `remove`."""
        return Path(self._folder.name)

    @property
    def ca_file(self) -> Path:
        """The authority that the server's certificate is from (PEM)."""
        return self.folder / "ca.pem"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of the administrator."""
        return self.folder / "kubeconfig"

    def client(self) -> Any:
        """Return a `kubernetes.client.ApiClient` of the administrator."""
        from kubernetes import config

        return config.new_client_from_config(str(self.kubeconfig))

    def get(self, path: str, *, accept: str = "*/*") -> bytes:
        """Return what the server answers to an administrator's GET of `path`, in a form of the asker's choice."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept}
        request = urllib.request.Request(self.url + path, headers=headers)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            content: bytes = answer.read()
            return content

    def remove(self) -> None:
        """End what runs, the API server first, and remove its data."""
        for _, process in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        self._folder.cleanup()

    def tail(self, lines: int = 20) -> str:
        """Return the ends of both logs, for a failure's message."""
        found = []
        for name, process in self._running:
            log = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
            found += [f"--- {name}, exit code {process.poll()}", *log[-lines:]]
        return "\n".join(found)

    def _more(self) -> list[str]:
        return [f"--enable-admission-plugins={','.join(self.admission)}"] if self.admission else []

    def collect_garbage(self) -> None:
        """Start the controller that deletes what belonged to something deleted; it ends with the server.

        Raises:
            ServerUnavailableError: It is not built.
        """
        options = ["--controllers=garbage-collector-controller", "--leader-elect=false", "--bind-address=127.0.0.1"]
        options += [f"--kubeconfig={self.kubeconfig}", f"--secure-port={free_port()}", f"--cert-dir={self.folder}"]
        self._start("kube-controller-manager", [str(program("kube-controller-manager")), *options])

    def _write_files(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        own = authority.issue_cert("127.0.0.1", "localhost")
        own.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        own.cert_chain_pems[0].write_to_path(str(self.folder / "cert.pem"))
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')

    def _write_kubeconfig(self) -> None:
        name = "test"
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))

    def _start(self, name: str, command: list[str]) -> None:
        self._write_kubeconfig()
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                dies_with_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        self._running.append((name, process))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            # It answers 403 and 500 before it is ready; an error of HTTP is one of the system here.
            with contextlib.suppress(OSError):
                self.get("/readyz")
                return
            ended = [name for name, process in self._running if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"{ended[0]} ended" if ended else f"not ready within {READY_SECONDS:g} s"
                raise RuntimeError(f"{why}\n{self.tail()}")
            time.sleep(0.1)


def _etcd_options(data: Path, client: str, peer: str) -> list[str]:
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _server_options(folder: Path, store: str, port: int) -> list[str]:
    key = folder / "key.pem"
    return [
        f"--etcd-servers={store}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--advertise-address={_ADVERTISED}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={_SERVICES}",
        f"--tls-cert-file={folder / 'cert.pem'}",
        f"--tls-private-key-file={key}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--enable-priority-and-fairness=false",
        f"--cert-dir={folder}",
    ]


@contextmanager
def api_server(admission: Sequence[str] = ()) -> Iterator[ApiServer]:
    """Run one for a fixture. Where it cannot be had, the tests are skipped, and fail with CI=true."""
    found = ApiServer(admission=admission)
    try:
        found.__enter__()
    except ServerUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    try:
        yield found
    finally:
        found.remove()


@dataclass
class Looking:
    """An API server with what a test has put there, for those who look at it from outside."""

    server: ApiServer
    client: Any
    folder: Path

    @property
    def core(self) -> Any:
        """The kinds of Kubernetes itself."""
        from kubernetes import client

        return client.CoreV1Api(self.client)

    @property
    def custom(self) -> Any:
        """The kinds that are defined by others."""
        from kubernetes import client

        return client.CustomObjectsApi(self.client)
