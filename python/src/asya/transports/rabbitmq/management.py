"""The management API, for what AMQP cannot tell: how many messages are handed out and not settled, delivery limits."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from asya.errors import ConnectionLostError, DeniedError, SettingsError
from asya.transports.rabbitmq.address import Address, Trust

_VARIABLE = "ASYA_RABBITMQ_MANAGEMENT_URL"
ANSWER_SECONDS = 10.0
_COLUMNS = "name,messages_unacknowledged"


class Management:
    """Asks one management address. Its numbers are up to 5 s old: so often a queue counts by default."""

    def __init__(self, url: str, address: Address) -> None:
        """`address` gives the virtual host, and the credentials where `url` holds none.

        Raises:
            SettingsError: The URL is none.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if parts.scheme not in {"http", "https"} or not host:
            raise SettingsError([f"{_VARIABLE} is not an http:// or https:// URL (its value is not shown)"])
        netloc = f"[{host}]" if ":" in host else host
        self._base = f"{parts.scheme}://{netloc}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
        username = urllib.parse.unquote(parts.username) if parts.username else address.username
        password = urllib.parse.unquote(parts.password) if parts.password else address.password
        self._login = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._trust = (address.trust or Trust()) if parts.scheme == "https" else None
        self._vhost = urllib.parse.quote(address.vhost, safe="")

    async def unsettled(self, queues: Iterable[str]) -> dict[str, int]:
        """Return the number per queue; one that is missing, or too new to have been counted, is left out.

        Raises:
            DeniedError: The user may not use the API.
            ConnectionLostError: It does not answer.
        """
        wanted = set(queues)
        counted = await asyncio.to_thread(self._ask) if wanted else []
        # A queue that has not been counted yet has no such field.
        return {
            facts["name"]: facts["messages_unacknowledged"]
            for facts in counted
            if facts["name"] in wanted and isinstance(facts.get("messages_unacknowledged"), int)
        }

    async def delivery_limit(self, queue: str) -> int | None:
        """Return the delivery limit that a queue was declared with; None when it has none of its own.

        Raises:
            DeniedError: The user may not use the API.
            ConnectionLostError: It does not answer.
        """
        path = f"/api/queues/{self._vhost}/{urllib.parse.quote(queue, safe='')}?columns=arguments"
        found: dict[str, Any] = await asyncio.to_thread(self._get, path)
        limit = found.get("arguments", {}).get("x-delivery-limit")
        return limit if isinstance(limit, int) else None

    def _ask(self) -> list[dict[str, Any]]:
        # One request for the whole virtual host. Without the statistics it costs the broker little, and the numbers are
        # those of the queues' last tick; the statistics would be up to two of their own intervals older.
        path = f"/api/queues/{self._vhost}?disable_stats=true&enable_queue_totals=true&columns={_COLUMNS}"
        found: list[dict[str, Any]] = self._get(path)
        return found

    def _get(self, path: str) -> Any:  # noqa: ANN401  whatever the API answers
        context = self._trust.context() if self._trust is not None else None
        request = urllib.request.Request(self._base + path, headers={"Authorization": self._login})  # noqa: S310  checked
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS, context=context) as answer:  # noqa: S310  checked
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                    raise DeniedError(f"the management API refuses the user: {error.code} {error.reason}") from error
                raise ConnectionLostError(f"the management API fails: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ConnectionLostError(f"the management API does not answer: {error}") from error
