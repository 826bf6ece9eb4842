"""The API server, as far as the operator needs it: lists, server-side apply, events. Blocking."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

from kubernetes.client import ApiClient, ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from urllib3.exceptions import HTTPError

from asya.errors import AsyaError
from asya.operator.events import Event
from asya.operator.identity import ACTOR, FIELD_MANAGER, Manifest

ANSWER_SECONDS = 30.0
PAGE = 500
PODS_PAGE = 100
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_QUEUES = "/apis/rabbitmq.com/v1beta1"
ACTORS = "/apis/asya.sh/v1alpha1"
_PATHS = {"AsyncActor": (ACTORS, "asyncactors"), "ConfigMap": ("/api/v1", "configmaps")}
_Found = TypeVar("_Found")


class ClusterError(AsyaError):
    """The API server did not do what it was asked to; the text is its own."""

    code = "cluster"


class ConflictError(ClusterError):
    """Somebody else has set a field to another value; they keep it."""

    code = "cluster-conflict"


class LeavingError(ClusterError):
    """The namespace is being deleted, or is gone."""

    code = "cluster-leaving"


def connect() -> Cluster:
    """Return the cluster this process runs in, else the one of the user's kubeconfig.

    Raises:
        ClusterError: There is neither.
    """
    try:
        load_incluster_config()  # type: ignore[no-untyped-call]  # the library has no types
    except ConfigException:
        try:
            load_kube_config()  # type: ignore[no-untyped-call]  # the library has no types
        except ConfigException as error:
            raise ClusterError(f"neither in a cluster nor with a kubeconfig: {error}") from error
    return Cluster(ApiClient())


class Cluster:
    """One API server. Methods may be called from several threads."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def actors(self, namespace: str | None = None) -> list[Manifest] | None:
        """Return all actors, or a namespace's; None while their kind is not served.

        Raises:
            ClusterError: They cannot be had.
        """
        where = f"{ACTORS}/namespaces/{namespace}/asyncactors" if namespace else f"{ACTORS}/asyncactors"
        identity = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor"}
        return _unless_absent(lambda: [{**identity, **each} for each in self._list(where)])

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """Return a ConfigMap, or None.

        Raises:
            ClusterError: It cannot be had.
        """
        return _unless_absent(lambda: self._ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}"))

    def deployment(self, namespace: str, name: str) -> Manifest | None:
        """Return a Deployment, or None.

        Raises:
            ClusterError: It cannot be had.
        """
        return _unless_absent(lambda: self._ask("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"))

    def config_maps(self, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        """Return the ConfigMaps of a namespace that have these labels.

        Raises:
            ClusterError: They cannot be had.
        """
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        try:
            return list(self._list(f"/api/v1/namespaces/{namespace}/configmaps", labelSelector=selector))
        except (ApiException, HTTPError) as error:
            raise _explained(error) from error

    def apply(self, manifest: Mapping[str, Any]) -> Manifest:
        """Make the object's fields so, as the operator's own; return the object. Other fields are other people's.

        Raises:
            ConflictError: Somebody else has set one of the fields to another value.
            LeavingError: The namespace is being deleted.
            ClusterError: It is refused.
        """
        prefix, plural = _PATHS[manifest["kind"]]
        metadata = manifest["metadata"]
        path = f"{prefix}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        try:
            applied: Manifest = self._ask(
                "PATCH", path, manifest, content_type="application/apply-patch+yaml", query=query
            )
        except (ApiException, HTTPError) as error:
            raise _explained(error) from error
        return applied

    def tell(self, event: Event) -> None:
        """Post an event.

        Raises:
            ClusterError: It is refused.
        """
        path = f"/api/v1/namespaces/{event.regarding.namespace}/events"
        try:
            self._ask("POST", path, event.manifest(datetime.now(UTC)))
        except (ApiException, HTTPError) as error:
            raise _explained(error) from error

    def pods(self, namespace: str) -> Iterator[Manifest]:
        """Yield the Pods of all actors of a namespace; a page of them is held at a time.

        Raises:
            ClusterError: They cannot be had.
        """
        try:
            yield from self._list(f"/api/v1/namespaces/{namespace}/pods", labelSelector=ACTOR, limit=str(PODS_PAGE))
        except (ApiException, HTTPError) as error:
            raise _explained(error) from error

    def put(self, event: Event, since: datetime, count: int) -> None:
        """Write an event that has a name, new or over what it was.

        Raises:
            ClusterError: It is refused.
        """
        manifest = event.manifest(datetime.now(UTC), since=since, count=count)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        try:
            self._ask("PATCH", _event_path(event), manifest, content_type="application/apply-patch+yaml", query=query)
        except (ApiException, HTTPError) as error:
            raise _explained(error) from error

    def take_back(self, event: Event) -> None:
        """Delete an event that has a name, if it is still there.

        Raises:
            ClusterError: It is refused.
        """
        try:
            self._ask("DELETE", _event_path(event))
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise _explained(error) from error
        except HTTPError as error:
            raise _explained(error) from error

    def queues(self) -> list[Manifest]:
        """Return the metadata of all actors' Queue objects; none where the topology operator is not installed.

        Raises:
            ClusterError: They cannot be had.
        """
        where = f"{_QUEUES}/queues"
        found = _unless_absent(lambda: list(self._list(where, accept=_METADATA, labelSelector=ACTOR)))
        return [{**each, "apiVersion": "rabbitmq.com/v1beta1", "kind": "Queue"} for each in found or ()]

    def has_event(self, of: Manifest, reason: str) -> bool:
        """Tell whether an object, and not another that had its name, has an event of this reason.

        Raises:
            ClusterError: They cannot be had.
        """
        metadata = of["metadata"]
        about = f"involvedObject.uid={metadata['uid']},reason={reason}"
        try:
            return any(self._list(f"/api/v1/namespaces/{metadata['namespace']}/events", fieldSelector=about))
        except (ApiException, HTTPError) as error:
            raise _explained(error) from error

    def set_finalizers(self, queue: Manifest, finalizers: Sequence[str]) -> None:
        """Set the finalizers of a Queue object, if nobody has written it since it was read.

        Raises:
            ConflictError: Somebody has.
            ClusterError: It is refused.
        """
        metadata = queue["metadata"]
        path = f"{_QUEUES}/namespaces/{metadata['namespace']}/queues/{metadata['name']}"
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": list(finalizers)}}
        query = {"fieldManager": FIELD_MANAGER}
        _unless_absent(lambda: self._ask("PATCH", path, body, content_type="application/merge-patch+json", query=query))

    def _list(self, path: str, *, accept: str = _JSON, **query: str) -> Iterator[Manifest]:
        more = ""
        while True:
            asked = {"limit": str(PAGE), **query, **({"continue": more} if more else {})}
            page = self._ask("GET", path, query=asked, accept=accept)
            yield from page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = _JSON,
        accept: str = _JSON,
        query: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401  JSON
        parameters = self._client.param_serialize(
            method=method,
            resource_path=f"{path}?{urlencode(query)}" if query else path,
            header_params={"Accept": accept, "Content-Type": content_type},
            # The library makes JSON of what is called so, and takes a patch's type by the type of its body.
            body=body if body is None or content_type.endswith("json") else json.dumps(body),
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*parameters, _request_timeout=ANSWER_SECONDS)
        content = answer.read()  # type: ignore[no-untyped-call]  # the library has no types
        if not 200 <= answer.status < 300:
            error = ApiException(status=answer.status, reason=answer.reason)
            error.body = content
            raise error
        return json.loads(content)


def _event_path(event: Event) -> str:
    return f"/api/v1/namespaces/{event.regarding.namespace}/events/{event.name}"


def _unless_absent(ask: Callable[[], _Found]) -> _Found | None:
    """Return what is asked for, None where the API server has no such thing."""
    try:
        return ask()
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise _explained(error) from error
    except HTTPError as error:
        raise _explained(error) from error


def _explained(error: Exception) -> ClusterError:
    try:
        status = json.loads(getattr(error, "body", None) or "")
    except ValueError:
        return ClusterError(str(error))
    causes = (status.get("details") or {}).get("causes") or ()
    message = status.get("message", str(error))
    if status.get("reason") == "Conflict":
        return ConflictError(message)
    gone = status.get("reason") == "NotFound" and (status.get("details") or {}).get("kind") == "namespaces"
    if gone or any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return LeavingError(message)
    return ClusterError(message)
