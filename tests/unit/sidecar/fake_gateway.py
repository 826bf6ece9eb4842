"""An HTTP server that answers as it is told: the real receivers cannot be made to fail on command."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class FakeGateway:
    """Remembers requests; `answers` maps a path's end to a list of statuses, used up one by one (then 200)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.bodies: dict[str, Any] = {}
        self.silence = 0.0
        self.close_after_answer = False
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                text = self.rfile.read(length)
                gateway.requests.append(
                    (self.command, self.path, json.loads(text) if text else None, dict(self.headers))
                )
                if gateway.silence:
                    time.sleep(gateway.silence)
                status = gateway.statuses.pop(0) if gateway.statuses else 200
                body = json.dumps(gateway.bodies.get(self.path, {})).encode() if status == 200 else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                # Closed without a word, as a server does whose keep-alive time is over.
                self.close_connection = gateway.close_after_answer

            do_GET = do_POST = _answer  # noqa: N815  the base class calls them so

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
