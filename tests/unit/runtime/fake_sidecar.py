"""A sidecar that does what a test tells it: the listening side of docs/reference/link-protocol.md, plain."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNTIME = Path(__file__).parents[3] / "sidecar" / "runtime" / "asya_runtime.py"
SECONDS = 20.0

HELLO, WELCOME, REFUSED, FAILED = 1, 2, 3, 4
CALL, CANCEL = 10, 11
RESULT, CHUNK, END, ERROR, FLY, BEGUN, NOTES, REGISTRY = 20, 21, 22, 23, 24, 25, 26, 27
PING, PONG = 30, 31
DRAIN, DONE, REPLACE = 40, 41, 42

META: dict[str, Any] = {
    "id": "m-1",
    "parent_id": None,
    "route": {"prev": ["a"], "curr": "b", "next": ["c", "d"]},
    "headers": {"tenant": "t1", "deep": {"list": [1, 2, 3], "a.b": "dotted"}},
    "status": {"phase": "pending", "attempt": 3, "deadline_at": "2099-01-02T03:04:05.678Z"},
    "timeout": 300,
}


@dataclass
class Frame:
    """One frame from the runtime."""

    kind: int
    call: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def payload(self) -> Any:
        return json.loads(self.body[4 + struct.unpack_from(">I", self.body)[0] :])

    @property
    def changes(self) -> Any:
        text = self.body[4 : 4 + struct.unpack_from(">I", self.body)[0]]
        return json.loads(text) if text else None


class Connection:
    """A connected runtime process."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._file = sock.makefile("rb")
        self._last = 0
        self.hello = self.read().json

    def read(self) -> Frame:
        """Return the next frame other than BEGUN."""
        frame = self.read_any()
        while frame.kind == BEGUN:
            frame = self.read_any()
        return frame

    def read_any(self) -> Frame:
        """Return the next frame; EOFError when the runtime has hung up, TimeoutError when nothing comes."""
        head = self._file.read(9)
        if len(head) < 9:
            raise EOFError
        length, kind, call = struct.unpack(">IBI", head)
        return Frame(kind, call, self._file.read(length - 5))

    def send(self, kind: int, call: int = 0, body: bytes = b"") -> None:
        self.socket.sendall(struct.pack(">IBI", 5 + len(body), kind, call) + body)

    def call(self, payload: Any, meta: dict[str, Any] | None = None) -> int:
        """Send a call and return its number. `payload` may be bytes, which are sent as they are."""
        self._last += 1
        head = json.dumps(META if meta is None else meta).encode()
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send(CALL, self._last, struct.pack(">I", len(head)) + head + body)
        return self._last

    def answers(self, payload: Any, meta: dict[str, Any] | None = None) -> list[Frame]:
        """Call, and return every frame of the answer."""
        number = self.call(payload, meta)
        frames = [self.read()]
        while frames[-1].kind not in (RESULT, END, ERROR):
            frames.append(self.read())
        assert {frame.call for frame in frames} == {number}
        return frames

    def result(self, payload: Any, meta: dict[str, Any] | None = None) -> Any:
        """Call, and return the one result."""
        frames = self.answers(payload, meta)
        assert [frame.kind for frame in frames] == [RESULT], frames
        return frames[0].payload

    def error(self, payload: Any, meta: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call, and return the error."""
        last = self.answers(payload, meta)[-1]
        assert last.kind == ERROR, last
        body: dict[str, Any] = last.json
        return body

    def close(self) -> None:
        # makefile keeps the descriptor open until it is closed too
        self.socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self.socket.close()


@dataclass
class FakeSidecar:
    """Listens, and starts a runtime for a handler module written to `folder`."""

    folder: Path
    python: str = sys.executable
    program: tuple[str, ...] = (str(RUNTIME),)
    environ: dict[str, str] = field(default_factory=dict)
    welcome: dict[str, Any] = field(default_factory=lambda: {"protocol": 1, "max_frame": 1 << 24, "timeout": 60})
    workers: list[Connection] = field(default_factory=list)
    supervisor: Connection | None = None

    def __post_init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.listener: socket.socket | None = None
        self.open: list[Connection] = []
        self.listen()

    @property
    def path(self) -> str:
        return str(self.folder / "asya.sock")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def listen(self) -> None:
        Path(self.path).unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(SECONDS)

    def hang_up(self) -> None:
        """Vanish, as a sidecar that is restarted."""
        assert self.listener is not None
        self.listener.close()
        Path(self.path).unlink()
        for connection in self.open:
            connection.close()
        self.open, self.workers, self.supervisor = [], [], None

    def start(self, code: str, handler: str = "handler.process", **environ: str) -> FakeSidecar:
        (self.folder / "handler.py").write_text(code)
        variables = {
            "ASYA_HANDLER": handler,
            "ASYA_HANDLER_PATH": str(self.folder),
            "ASYA_SOCKET_DIR": str(self.folder),
            # Not there, also where these tests run in a pod.
            "ASYA_TERMINATION_LOG": str(self.folder / "termination-log"),
            "PATH": os.environ["PATH"],
            **self.environ,
            **environ,
        }
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self.process = subprocess.Popen(
                [self.python, *self.program],
                env=variables,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                start_new_session=True,
            )
        return self

    def accept(self) -> Connection:
        """Return the next process that connects, welcomed."""
        assert self.listener is not None
        sock, _ = self.listener.accept()
        sock.settimeout(SECONDS)
        connection = Connection(sock)
        self.open.append(connection)
        if connection.hello["role"] == "worker":
            self.workers.append(connection)
        else:
            self.supervisor = connection
        connection.send(WELCOME, 0, json.dumps(self.welcome).encode())
        return connection

    def worker(self) -> Connection:
        """Return the next worker that connects."""
        while True:
            connection = self.accept()
            if connection.hello["role"] == "worker":
                return connection

    def the_supervisor(self) -> Connection:
        """Return the supervisor's connection."""
        while self.supervisor is None:
            self.accept()
        return self.supervisor

    def wait(self) -> int:
        """Wait for the runtime to exit; return its status."""
        assert self.process is not None
        return self.process.wait(SECONDS)

    def done(self) -> int:
        """Say DONE, and return the runtime's exit status."""
        self.the_supervisor().send(DONE)
        return self.wait()

    def wait_for_log(self, text: str) -> str:
        """Wait until stderr has a line with `text`; return the line."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for line in self.stderr.splitlines():
                if text in line:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"{text!r} is not in:\n{self.stderr}")

    def wait_for_output(self, text: str) -> None:
        """Wait until the handler has printed `text` and nothing else."""
        end = time.monotonic() + SECONDS
        while self.stdout != text:
            assert time.monotonic() < end, self.stdout
            time.sleep(0.01)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for connection in self.open:
            connection._file.close()
            connection.socket.close()
        if self.listener is not None:
            self.listener.close()
