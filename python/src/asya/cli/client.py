"""Client of the loopback API of a running `asya up`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from asya.errors import AsyaError

_ADDRESS_FILE, _LOCK_FILE = "api.json", "lock"
_START_SECONDS, _LOOK_SECONDS = 5.0, 0.05
_SECONDS = 30.0
# The stream is silent between events, but not for longer than the server's comments are apart.
_STREAM_SECONDS = 60.0


class RefusedError(AsyaError):
    """The API refused a request; `problem` is its stable code."""

    code = "api.refused"

    def __init__(self, problem: str, message: str) -> None:
        self.problem = problem
        super().__init__(message)


class Client:
    """Requests to the `asya up` whose state folder is `state`."""

    def __init__(self, state: Path) -> None:
        """Find the address; of an `asya up` that is just starting there, wait for it a few seconds.

        Raises:
            AsyaError: No `asya up` runs there, or it does not get ready.
        """
        self._state = state
        url, token = self._address()
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_connections=64),
        )

    def send(self, actor: str, body: bytes) -> str:
        """Create a task from the JSON text `body`; return its id."""
        answer = self._request("POST", "/api/v1/mesh/", params={"actor": actor}, content=body)
        return str(answer["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """Return one task."""
        return self._request("GET", f"/api/v1/mesh/{quote(task_id, safe='')}")

    def trace(self, task_id: str) -> dict[str, Any]:
        """Return the hops of a task and its descendants."""
        return self._request("GET", f"/api/v1/mesh/{quote(task_id, safe='')}/trace")

    def actors(self) -> dict[str, Any]:
        """Return all actors."""
        return self._request("GET", "/api/v1/actors")

    def cancel(self, task_id: str) -> None:
        """Cancel a task and its descendants."""
        self._request("DELETE", f"/api/v1/mesh/{quote(task_id, safe='')}")

    def events(self, task_id: str) -> Iterator[tuple[str, Any]]:
        """Yield (kind, data) of a task's events until the final one.

        Raises:
            AsyaError: `asya up` stopped before there was one; the message says how to go on.
        """
        kind = ""
        path = f"/api/v1/mesh/{quote(task_id, safe='')}/events"
        try:
            with self._http.stream("GET", path, timeout=_STREAM_SECONDS) as answer:
                if answer.is_error:
                    answer.read()
                    self._refuse(answer)
                for line in answer.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data" and kind == "stopping":
                        goes_on = f"task {task_id} goes on at its next start"
                        raise AsyaError(f"`asya up` is stopping; {goes_on}: asya trace {task_id}")
                    elif name == "data":
                        yield kind, json.loads(value)
        except httpx.HTTPError as error:
            raise AsyaError(f"{self._lost(error)}; what became of task {task_id}: asya trace {task_id}") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Use as a context, closed at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _address(self) -> tuple[str, str]:
        """Return URL and token."""
        file = self._state / _ADDRESS_FILE
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                address = json.loads(file.read_text(encoding="utf-8"))
                return address["url"], address["token"]
            except FileNotFoundError:
                owner = self._owner()
                if owner is None:
                    raise self._nobody() from None
                if time.monotonic() >= end:
                    text = f"the `asya up` on {self._state} (pid {owner}) is not ready; see what it says"
                    raise AsyaError(text) from None
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise AsyaError(f"{file} cannot be read: {error}") from None
            time.sleep(_LOOK_SECONDS)

    def _owner(self) -> int | None:
        """Return the pid in the state folder's lock file if there is such a process.

        The lock itself is not tried: even for a moment in our hands it would be refused to an `asya up` that starts.
        """
        try:
            owner = int((self._state / _LOCK_FILE).read_text(encoding="ascii"))
            os.kill(owner, 0)
        except (OSError, ValueError):
            return None  # of another user's neither: the token is for its owner only
        return owner

    def _request(self, method: str, path: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401  passed on to httpx
        try:
            answer = self._http.request(method, path, **given)
        except httpx.ConnectError:
            raise self._nobody() from None
        except httpx.HTTPError as error:
            raise self._lost(error) from None
        if answer.is_error:
            self._refuse(answer)
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def _refuse(self, answer: httpx.Response) -> None:
        try:
            error = answer.json()["error"]
            raise RefusedError(error["code"], error["message"])
        except (ValueError, KeyError, TypeError):
            raise AsyaError(f"the API answered {answer.status_code}: {answer.text[:256]}") from None

    def _lost(self, error: httpx.HTTPError) -> AsyaError:
        return AsyaError(f"the connection to `asya up` was lost: {str(error) or type(error).__name__}")

    def _nobody(self) -> AsyaError:
        return AsyaError(
            f"no `asya up` is running on {self._state}; start one with `asya up DIR`, or give its --state; "
            "a cluster is named by --namespace or --context"
        )
