"""RabbitMQ's management API, as far as removing queues needs it. Blocking."""

from __future__ import annotations

import http.client
import json
from collections import defaultdict
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithPriorAuth, Request, build_opener

from asya.errors import ConnectionLostError, SettingsError
from asya.operator.orphans import Queue

ANSWER_SECONDS = 10.0


class Broker:
    """One virtual host. The user of the URL needs RabbitMQ's tag `management` and the right to configure queues."""

    def __init__(self, url: str, vhost: str) -> None:
        """Raise `SettingsError` when `url` is none."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError(
                ["ASYA_OPERATOR_RABBITMQ_MANAGEMENT_URL is not an http:// or https:// URL (its value is not shown)"]
            )
        host = parts.netloc.rpartition("@")[2]
        self._base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api"
        self._vhost = quote(vhost, safe="")
        passwords = HTTPPasswordMgrWithPriorAuth()
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        passwords.add_password(None, self._base, user, password, is_authenticated=True)
        self._opener = build_opener(HTTPBasicAuthHandler(passwords))

    def queues(self) -> list[Queue]:
        """Return all queues.

        Raises:
            ConnectionLostError: The API fails or does not answer.
        """
        exchanges: dict[str, set[str]] = defaultdict(set)
        for binding in self._ask("GET", f"/bindings/{self._vhost}"):
            if binding["destination_type"] == "queue" and binding["source"]:
                exchanges[binding["destination"]].add(binding["source"])
        return [
            Queue(found["name"], found.get("messages"), found.get("consumers"), frozenset(exchanges[found["name"]]))
            for found in self._ask("GET", f"/queues/{self._vhost}?columns=name,messages,consumers")
        ]

    def remove(self, queue: str) -> None:
        """Remove a queue; one that is gone is fine.

        Raises:
            ConnectionLostError: The API fails or does not answer.
        """
        self._ask("DELETE", f"/queues/{self._vhost}/{quote(queue, safe='')}")

    def _ask(self, method: str, path: str) -> Any:  # noqa: ANN401  JSON
        request = Request(self._base + path, method=method)  # noqa: S310  checked
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS) as answer:
                content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            if method == "DELETE" and getattr(error, "code", None) == HTTPStatus.NOT_FOUND:
                return None
            raise ConnectionLostError(f"RabbitMQ's management API: {method} {path}: {error}") from error
        return json.loads(content) if content else None
