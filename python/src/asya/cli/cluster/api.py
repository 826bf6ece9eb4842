"""The API server of a kubeconfig: reading objects, and connections to ports of pods. Blocking.

The client library is imported here only, and only when a cluster is asked: every way to log in that a kubeconfig may
name (certificates, tokens, programs) is the library's business.
"""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from asya.cli.cluster.errors import ClusterError, ForbiddenError
from asya.cli.cluster.kubeconfig import read_contexts
from asya.cli.cluster.options import Choice

Manifest = Mapping[str, Any]
ANSWER_SECONDS = 20.0
_PAGE = 500
_PATHS = {
    "asyncactors": "/apis/asya.sh/v1alpha1",
    "compositions": "/apis/apiextensions.crossplane.io/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
}
_CORE = "/api/v1"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Forward:
    """A connection to a port of a pod. `told()` is what the node said against it, if it did."""

    socket: socket.socket
    told: Callable[[], str]


class Cluster:
    """The API server of one context. `namespace` is the one that is meant."""

    def __init__(self, choice: Choice) -> None:
        """Read the kubeconfig; nothing is asked yet.

        Raises:
            ClusterError: It cannot be read, or has no such context.
        """
        try:
            from kubernetes import client, config  # noqa: PLC0415  it takes a second, and only clusters need it
        except ImportError:
            raise ClusterError("a cluster needs the package kubernetes: pip install 'asya[cluster]'") from None

        contexts = read_contexts(choice.kubeconfig)
        names = ", ".join(contexts.namespaces) or "none"
        chosen = choice.context or contexts.current
        if chosen is None:
            raise ClusterError(f"{choice.kubeconfig} has no current context; choose one with --context: {names}")
        if chosen not in contexts.namespaces:
            raise ClusterError(f"{choice.kubeconfig} has no context {chosen!r}; it has: {names}")
        try:
            self._client = config.new_client_from_config(contexts.files, chosen)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError, ValueError, TypeError) as error:
            raise ClusterError(f"the kubeconfig {choice.kubeconfig} cannot be used: {error}") from None
        self.context = chosen
        self.namespace: str = choice.namespace or contexts.namespaces[chosen] or "default"
        # What cannot be reached is told at once, and the library would log each try.
        self._client.configuration.retries = False
        self._client = client.ApiClient(self._client.configuration)

    def get(self, resource: str, name: str, namespace: str | None = None) -> Manifest | None:
        """Return an object, or None.

        Raises:
            ForbiddenError: The person may not read it.
            ClusterError: The API server does not answer as it should.
        """
        found: Manifest | None = self._ask(f"{_path(resource, namespace)}/{name}", f"get {_of(resource, name)}")
        return found

    def find(
        self, resource: str, namespace: str | None = None, fields: str = "", **labels: str
    ) -> list[Manifest] | None:
        """Return the objects that have these labels, of a namespace or of none; None where the kind is not served.

        `fields` is a field selector, such as `type=Warning`.

        Raises:
            ForbiddenError: The person may not list them.
            ClusterError: The API server does not answer as it should.
        """
        found: list[Manifest] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": _selector(labels)} if labels else {})
        query |= {"fieldSelector": fields} if fields else {}
        more = ""
        while True:
            path = f"{_path(resource, namespace)}?{urlencode(query | ({'continue': more} if more else {}))}"
            page = self._ask(path, f"list {_of(resource)}")
            if page is None:
                return None
            found += page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return found

    def forward(self, namespace: str, pod: str, port: int) -> Forward:
        """Connect to a port of a pod through the API server and its node. A thread of the library carries the bytes.

        Raises:
            ForbiddenError: The person may not do that.
            ClusterError: It does not work.
        """
        from kubernetes import client, stream  # noqa: PLC0415  see above

        # The library swaps a method of the client for the time of the call: each call has one of its own.
        core = client.CoreV1Api(client.ApiClient(self._client.configuration))
        call = core.connect_get_namespaced_pod_portforward
        try:
            forwarded = stream.portforward(call, pod, namespace, ports=str(port))
        except client.ApiException as error:
            text = " ".join(str(error.reason).split())
            if f" {HTTPStatus.FORBIDDEN:d} " in text:
                may = f"get and create pods/portforward in namespace {namespace}"
                raise ForbiddenError(f"context {self.context} may not forward ports: it needs to {may}") from None
            raise ClusterError(f"no connection to port {port} of pod {namespace}/{pod}: {text[:300]}") from None
        plain = socket.socket(fileno=forwarded.socket(port).detach())
        return Forward(plain, functools.partial(_told, forwarded, port))

    def _ask(self, path: str, what: str) -> Any:  # noqa: ANN401  JSON
        """Return what is answered to a GET, or None when nothing is there."""
        from kubernetes.client import ApiException  # noqa: PLC0415  see above
        from kubernetes.config import ConfigException  # noqa: PLC0415  see above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  it comes with the library

        try:
            asked = self._client.param_serialize(
                method="GET", resource_path=path, header_params={"Accept": _JSON}, auth_settings=["BearerToken"]
            )
            answer = self._client.call_api(*asked, _request_timeout=ANSWER_SECONDS)
            content = answer.read()
        except (HTTPError, ApiException, ConfigException, OSError) as error:
            at = self._client.configuration.host
            raise ClusterError(f"context {self.context}: {at} does not answer: {_short(error)}") from None
        match answer.status:
            case HTTPStatus.OK:
                return json.loads(content)
            case HTTPStatus.NOT_FOUND:
                return None
            case HTTPStatus.UNAUTHORIZED:
                raise ClusterError(f"context {self.context}: the API server does not know who you are; log in again")
            case HTTPStatus.FORBIDDEN:
                raise ForbiddenError(f"context {self.context} may not {what}: {_message(content)}")
            case status:
                raise ClusterError(f"context {self.context}: {status} to {what}: {_message(content)}")


def _told(forwarded: Any, port: int) -> str:  # noqa: ANN401  the library's own
    return " ".join(str(forwarded.error(port) or "").split())


def _path(resource: str, namespace: str | None) -> str:
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{_PATHS.get(resource, _CORE)}{where}/{resource}"


def _of(resource: str, name: str = "") -> str:
    """Return a resource as roles name it."""
    group = _PATHS.get(resource, "").removeprefix("/apis/").partition("/")[0]
    return f"{resource}.{group}".rstrip(".") + (f" {name}" if name else "")


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content[:256].decode(errors="replace")


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).rpartition(">: ")[2].split()) or type(error).__name__
