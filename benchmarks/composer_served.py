"""The composition function as Crossplane meets it: a process that serves gRPC with mTLS. Prints one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import trustme
from crossplane.function.proto.v1 import run_function_pb2_grpc as grpcv1
from tests.support.host import free_port

from asya_composer.function import run
from benchmarks.composer_requests import FEW, MANY, neighbourhood, of_actor, percentiles, there
from benchmarks.procfs import peak_mib

SOON = 30.0
WARM_UP = 20
LARGE = 20
"""Requests of a large namespace before memory is looked at."""
# Tried again at once: the default second between two attempts would be most of a start.
OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 10),
    ("grpc.max_reconnect_backoff_ms", 10),
    ("grpc.max_send_message_length", -1),
]


def credentials(folder: Path) -> grpc.ChannelCredentials:
    """Write the function's certificates, return the caller's."""
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("crossplane")
    (folder / "ca.crt").write_bytes(authority.cert_pem.bytes())
    (folder / "tls.crt").write_bytes(server.cert_chain_pems[0].bytes())
    (folder / "tls.key").write_bytes(server.private_key_pem.bytes())
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )


def main(times: int) -> None:
    """Start it, call it, print ``{"start": ms, "p50": ms, "p99": ms, "memory": MiB}``."""
    few = neighbourhood(FEW)
    request = of_actor(0, few, there(run(of_actor(0, few))))
    large = of_actor(0, neighbourhood(MANY))
    with tempfile.TemporaryDirectory(prefix="asya-") as name:
        caller = credentials(Path(name))
        address = f"localhost:{free_port()}"
        command = [sys.executable, "-m", "asya_composer.main", "--tls-certs-dir", name, "--address", address]
        begun = time.perf_counter()
        process = subprocess.Popen(command)
        try:
            with grpc.secure_channel(address, caller, OPTIONS) as channel:
                call = grpcv1.FunctionRunnerServiceStub(channel).RunFunction  # type: ignore[no-untyped-call]  # generated
                call(request, timeout=SOON, wait_for_ready=True)
                started = time.perf_counter() - begun
                for _ in range(WARM_UP):
                    call(request, timeout=SOON)
                took = []
                for _ in range(times):
                    begun = time.perf_counter()
                    call(request, timeout=SOON)
                    took.append(time.perf_counter() - begun)
                for _ in range(LARGE):
                    call(large, timeout=SOON)
                memory = peak_mib(process.pid)
        finally:
            process.terminate()
            process.wait(SOON)
    print(json.dumps({"start": started * 1e3, **percentiles(took), "memory": memory}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
