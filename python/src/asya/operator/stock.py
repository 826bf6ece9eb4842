"""Stock handlers: they call a workload's HTTP endpoint in the same pod. Standard library only, Python 3.8 and later.

``ASYA_WORKLOAD`` says how, as a JSON object: `port`, `protocol` (`json`, `openai` or `kserve-v2`), `path`,
`health_path` and `timeout` (seconds, or null for none). The handler is `asya.operator.stock.Workload.handle`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Json = Any
VARIABLE = "ASYA_WORKLOAD"
HOST = "127.0.0.1"
CHAT = "/v1/chat/completions"
MODELS = "/v1/models"
MOST_CALLS = 256
_HEALTH_SECONDS = 5.0
_PAUSE_SECONDS = 0.5
_SHOWN = 500
# These mean "not now"; what else is below 500 stays wrong however often it is sent.
_NOT_NOW = (408, 425, 429)
# Names of the Open Inference Protocol (KServe V2), required API, "Tensor Data Types".
_DATATYPES = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


class UnavailableError(Exception):
    """The workload did not answer, or said that it cannot now; a later call may succeed."""


class RefusedError(Exception):
    """The workload, or its protocol, does not take this payload; no retry heals that."""

    retryable = False


class Endpoint:
    """One workload: where it listens and how it is asked."""

    def __init__(
        self, port: int, protocol: str, path: str = "/", health_path: str | None = None, timeout: float | None = None
    ) -> None:
        self.port, self.path, self.health_path, self.timeout = port, path, health_path, timeout
        if protocol not in CALLS:
            raise ValueError("protocol is {!r}; expected one of {}".format(protocol, ", ".join(sorted(CALLS))))
        self.call = CALLS[protocol]
        self.model: str | None = None

    def is_up(self) -> bool:
        """Tell whether it takes calls: its health path answers below 400, or, without one, its port is open."""
        try:
            if self.health_path is None:
                socket.create_connection((HOST, self.port), _HEALTH_SECONDS).close()
                return True
            return self._exchange("GET", self.health_path, None, _HEALTH_SECONDS)[0] < 400
        except (OSError, http.client.HTTPException):
            return False

    def wait(self) -> None:
        """Return when it takes calls. A model may load for an hour, so no limit; messages wait in the queue."""
        while not self.is_up():
            time.sleep(_PAUSE_SECONDS)

    def ask(self, method: str, path: str, body: Json = None) -> Json:
        """Return the answer to one request: JSON, or text when its type says so, or None when it is empty.

        Raises:
            RefusedError: It answered with a redirection or a client's error, or with what is not JSON.
            UnavailableError: It did not answer, or with a server's error.
        """
        try:
            status, kind, content = self._exchange(method, path, body, self.timeout)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"{method} {path}: {error!r}") from error
        if not 200 <= status < 300:
            text = content[:_SHOWN].decode("utf-8", "replace")
            problem = UnavailableError if status >= 500 or status in _NOT_NOW else RefusedError
            raise problem(f"{method} {path}: {status} {text}")
        if not content:
            return None
        if kind.startswith("text/") and "json" not in kind:
            return content.decode("utf-8", "replace")
        try:
            return json.loads(content)
        except ValueError as error:
            raise RefusedError(f"{method} {path}: the answer is not JSON: {error}") from error

    def _exchange(self, method: str, path: str, body: Json, timeout: float | None) -> tuple[int, str, bytes]:
        # Not urllib: no proxy of the environment, and no redirection, may take a call away from this pod.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            headers = {"Accept": "application/json"}
            data = None
            if method == "POST":
                data = json.dumps(body, separators=(",", ":")).encode()
                headers["Content-Type"] = "application/json"
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type") or "", answer.read()
        finally:
            connection.close()


def call_json(endpoint: Endpoint, payload: Json) -> Json:
    """Post the payload; the answer is the result."""
    return endpoint.ask("POST", endpoint.path, payload)


def call_openai(endpoint: Endpoint, payload: Json) -> Json:
    """Call an OpenAI-compatible API; its whole answer is the result.

    The payload is the request; a text is one message of a user. Without `model`, it is the only one that is served.

    Raises:
        RefusedError: Neither an object nor a text; or it wants a stream, which a message cannot be.
    """
    if isinstance(payload, str):
        payload = {"messages": [{"role": "user", "content": payload}]}
    if not isinstance(payload, dict):
        raise RefusedError(f"the payload is {type(payload).__name__}; expected an object or a text")
    if payload.get("stream"):
        raise RefusedError("the payload asks for a stream; answers come whole, leave `stream` out")
    if "model" not in payload:
        payload = dict(payload, model=_only_model(endpoint))
    return endpoint.ask("POST", CHAT if endpoint.path == "/" else endpoint.path, payload)


def call_kserve(endpoint: Endpoint, payload: Json) -> Json:
    """Call a model by the Open Inference Protocol (KServe V2).

    A payload with `inputs` is the request, and the answer is the result. Any other object is taken as tensors by name,
    nested lists of one type; then the result is the output tensors by name, as nested lists.

    Raises:
        RefusedError: It is neither, or a list is ragged or of mixed types.
    """
    if not isinstance(payload, dict) or not payload:
        raise RefusedError(f"the payload is {type(payload).__name__}; expected an object of tensors")
    if isinstance(payload.get("inputs"), list):
        return endpoint.ask("POST", endpoint.path, payload)
    described = endpoint.ask("GET", endpoint.path[: -len("/infer")]) if endpoint.path.endswith("/infer") else {}
    wanted = {each["name"]: each["datatype"] for each in (described or {}).get("inputs", ())}
    inputs = [_tensor(name, value, wanted.get(name)) for name, value in payload.items()]
    answer = endpoint.ask("POST", endpoint.path, {"inputs": inputs})
    if not isinstance(answer, dict) or not isinstance(answer.get("outputs"), list):
        raise RefusedError(f"the answer has no `outputs`; is {endpoint.path} the path of an inference?")
    return {each["name"]: _nested(list(each["data"]), list(each["shape"])) for each in answer["outputs"]}


CALLS: dict[str, Callable[[Endpoint, Any], Any]] = {
    "json": call_json,
    "openai": call_openai,
    "kserve-v2": call_kserve,
}


class Workload:
    """The handler: one instance for the process's life, made once the workload is up."""

    def __init__(self) -> None:
        self._endpoint = Endpoint(**json.loads(os.environ[VARIABLE]))  # noqa: TID251  its process has no other settings
        self._pool = ThreadPoolExecutor(MOST_CALLS)
        self._endpoint.wait()

    async def handle(self, payload: Json) -> Json:
        """Call the workload with one payload and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._endpoint.call, self._endpoint, payload)


def _only_model(endpoint: Endpoint) -> str:
    if endpoint.model is None:
        served = endpoint.ask("GET", MODELS) or {}
        names = [each["id"] for each in served.get("data", ())]
        if len(names) != 1:
            raise RefusedError("the payload has no `model`, and {} are served: {}".format(len(names), ", ".join(names)))
        endpoint.model = str(names[0])
    return endpoint.model


def _tensor(name: str, value: Json, datatype: str | None) -> dict[str, Any]:
    flat: list[Any] = []
    shape = _flatten(name, value, flat)
    kinds = {type(each) for each in flat}
    if kinds == {int, float}:
        kinds = {float}
    if datatype is None:
        if len(kinds) != 1 or next(iter(kinds)) not in _DATATYPES:
            found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
            raise RefusedError(f"input {name!r} holds {found}; expected values of one type")
        datatype = _DATATYPES[next(iter(kinds))]
    return {"name": name, "shape": shape, "datatype": datatype, "data": flat}


def _flatten(name: str, value: Json, into: list[Any]) -> list[int]:
    """Append the values in row-major order; return the shape. A single value is a tensor of one."""
    if not isinstance(value, list):
        into.append(value)
        return [1]
    if not value or not isinstance(value[0], list):
        if any(isinstance(each, list) for each in value):
            raise RefusedError(f"input {name!r} is ragged")
        into.extend(value)
        return [len(value)]
    shapes = [_flatten(name, each, into) if isinstance(each, list) else [] for each in value]
    if any(shape != shapes[0] for shape in shapes):
        raise RefusedError(f"input {name!r} is ragged")
    return [len(value), *shapes[0]]


def _nested(flat: list[Any], shape: list[int]) -> list[Any]:
    """Return values in row-major order as nested lists. Some servers send them nested already."""
    if len(shape) < 2 or (flat and isinstance(flat[0], list)):
        return flat
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)] if size else []
    return flat
