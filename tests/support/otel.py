"""A real OpenTelemetry Collector, and its spans. `python -m tests.support.otel` builds it beforehand."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.host import free_port

SOURCE = Path(__file__).with_name("collector")
TOOLCHAIN = Path(__file__).resolve().parents[2] / ".venvs" / "go" / "bin"
BUILD_SECONDS, START_SECONDS, STOP_SECONDS = 900.0, 30.0, 15.0
_KINDS = {0: "", 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


class CollectorUnavailableError(RuntimeError):
    """The collector cannot be built here; the message says why."""


@dataclass(frozen=True)
class Event:
    """Something that happened during a span."""

    name: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Span:
    """One span as the collector wrote it. Ids are hex; times are Unix nanoseconds; `resource` says who made it."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, dict[str, Any]], ...]
    events: tuple[Event, ...]
    failed: bool
    resource: dict[str, Any]
    state: str

    @property
    def operation(self) -> str:
        """The first word of its name."""
        return self.name.partition(" ")[0]


@dataclass
class Collector:
    """A running collector. `grpc` and `http` are the URLs of its receivers."""

    grpc: str
    http: str
    file: Path

    def spans(self) -> list[Span]:
        """Return all spans that have arrived, in the order of their start."""
        if not self.file.exists():
            return []
        lines = self.file.read_bytes().splitlines(keepends=True)
        found = [span for line in lines if line.endswith(b"\n") for span in _spans(json.loads(line))]
        return sorted(found, key=lambda span: (span.start, span.end))

    def until(self, there: Callable[[list[Span]], bool], seconds: float = 30.0) -> list[Span]:
        """Wait until the spans are as wanted, with a bound; return them."""
        end = time.monotonic() + seconds
        while not there(spans := self.spans()):
            assert time.monotonic() < end, "not the spans that were waited for:\n" + "\n".join(
                f"{span.trace[:8]} {span.parent or '-':16} {span.id} {span.name}" for span in spans
            )
            time.sleep(0.05)
        return spans


def program(environ: Mapping[str, str]) -> Path:
    """Return the collector, built if need be.

    Raises:
        CollectorUnavailableError: There is no Go toolchain, or it could not build.
    """
    target = _target(environ)
    if target.exists():
        return target
    go = shutil.which("go") or shutil.which("go", path=str(TOOLCHAIN))
    if go is None:
        raise CollectorUnavailableError("the collector is built with Go; `python3 tools/environment.py go` brings one")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f"{target.name}.{os.getpid()}")
    command = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(made), "."]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode:
        raise CollectorUnavailableError(f"the collector cannot be built: {done.stderr[-2000:]}")
    made.replace(target)  # other test processes may have built it too
    return target


def _target(environ: Mapping[str, str]) -> Path:
    files = sorted(path for path in SOURCE.iterdir() if path.name in ("main.go", "go.mod", "go.sum"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asya-tests" / f"collector-{digest}"


def main() -> None:
    """Build the collector if it is not there: for minutes the first time, which no test should have to wait for."""
    if _target(os.environ).exists():
        return
    print("building an OpenTelemetry Collector, once, for the tests of tracing; this takes some minutes")
    began = time.monotonic()
    try:
        program(os.environ)
    except CollectorUnavailableError as error:
        print(f"no tests of tracing: {error}")  # the tests themselves say it too, and fail in CI
    else:
        print(f"built in {time.monotonic() - began:.0f} s")


@contextmanager
def collector(folder: Path, environ: Mapping[str, str]) -> Iterator[Collector]:
    """Run a collector that writes into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    grpc, http = free_port(), free_port()
    file, log = folder / "spans.jsonl", folder / "collector.log"
    config = folder / "collector.yaml"
    config.write_text(json.dumps(_config(grpc, http, file)))  # JSON is YAML
    with log.open("wb") as out:
        process = subprocess.Popen([program(environ), "--config", f"file:{config}"], stdout=out, stderr=out)
    try:
        _wait_for(grpc, process, log)
        _wait_for(http, process, log)
        yield Collector(f"http://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}", file)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(grpc: int, http: int, file: Path) -> dict[str, Any]:
    protocols = {"grpc": {"endpoint": f"127.0.0.1:{grpc}"}, "http": {"endpoint": f"127.0.0.1:{http}"}}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "exporters": {"file": {"path": str(file), "flush_interval": "100ms"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            assert process.poll() is None, f"the collector ended:\n{log.read_text()[-4000:]}"
            assert time.monotonic() < end, f"the collector does not listen:\n{log.read_text()[-4000:]}"
            time.sleep(0.05)
        else:
            return


def _spans(exported: dict[str, Any]) -> Iterator[Span]:
    """Read one line: an ExportTraceServiceRequest in the JSON encoding of OTLP."""
    for resource in exported.get("resourceSpans", []):
        about = _attributes(resource.get("resource", {}))
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                yield Span(
                    trace=span["traceId"],
                    id=span["spanId"],
                    parent=span.get("parentSpanId", ""),
                    name=span["name"],
                    kind=_KINDS[span.get("kind", 0)],
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                    attributes=_attributes(span),
                    links=tuple((each["spanId"], _attributes(each)) for each in span.get("links", [])),
                    events=tuple(Event(each["name"], _attributes(each)) for each in span.get("events", [])),
                    failed=span.get("status", {}).get("code") == 2,
                    resource=about,
                    state=span.get("traceState", ""),
                )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: _value(each["value"]) for each in holder.get("attributes", [])}


def _value(value: dict[str, Any]) -> Any:
    ((kind, found),) = value.items()
    if kind == "intValue":
        return int(found)
    if kind == "arrayValue":
        return [_value(each) for each in found.get("values", [])]
    return found


if __name__ == "__main__":
    main()
