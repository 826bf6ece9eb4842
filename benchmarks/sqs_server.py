"""moto's server as SQS is to its clients: connections are kept, and who called what is counted.

werkzeug's development server, which moto runs in, closes each connection after its answer. To connect anew for each
call would cost every client here what it does not cost on AWS.

A call is counted when it comes in, before it is carried out: one line in a file, the operation and who asked.
"""

from __future__ import annotations

import selectors
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.moto_server import MotoServer, ask_the_clock_cheaply, take_turns

_LOOKS, _OURS = "Botocore/", "asya"
"""Who only looks is bare botocore by its name; a boto3 loop and Celery begin otherwise, and our pods add theirs."""


class SqsServer(MotoServer):
    """A context manager, as `MotoServer` is."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = tempfile.NamedTemporaryFile(prefix="asya-calls-", suffix=".log")  # noqa: SIM115  as long as this

    def command(self) -> list[str]:
        return [sys.executable, "-m", __name__, str(self.port), self._calls.name]

    def calls(self) -> Counter[str]:
        """Calls of workers so far, by operation."""
        lines = (line.partition(" ") for line in Path(self._calls.name).read_text().splitlines())
        return Counter(operation for operation, _, who in lines if not who.startswith(_LOOKS) or _OURS in who)


def keep_connections() -> None:
    from werkzeug import serving
    from werkzeug.serving import WSGIRequestHandler

    send = WSGIRequestHandler.send_header

    def send_header(self: WSGIRequestHandler, keyword: str, value: str) -> None:
        if (keyword.lower(), value.lower()) != ("connection", "close"):
            send(self, keyword, value)

    WSGIRequestHandler.send_header = send_header  # type: ignore[method-assign]
    # An answer is written in two parts; the second must not wait until the first is acknowledged.
    WSGIRequestHandler.disable_nagle_algorithm = True
    # After an answer it throws away what else has come in, 10 ms long; here that is the next request.
    serving.selectors = SimpleNamespace(DefaultSelector=_NothingLeft, EVENT_READ=selectors.EVENT_READ)  # type: ignore[attr-defined]


class _NothingLeft:
    """A selector on which nothing ever comes."""

    def register(self, *_: Any) -> None: ...

    def select(self, **_: Any) -> list[Any]:
        return []

    def close(self) -> None: ...


def count_calls(path: str) -> None:
    from werkzeug.serving import WSGIRequestHandler

    run = WSGIRequestHandler.run_wsgi
    file = Path(path).open("a", buffering=1)  # noqa: SIM115  as long as this process

    def run_wsgi(self: WSGIRequestHandler) -> Any:
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        file.write(f"{operation or '-'} {self.headers.get('User-Agent', '')}\n")
        return run(self)

    WSGIRequestHandler.run_wsgi = run_wsgi  # type: ignore[method-assign]


if __name__ == "__main__":
    from moto.server import main

    take_turns()
    ask_the_clock_cheaply()
    keep_connections()
    count_calls(sys.argv[2])
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
