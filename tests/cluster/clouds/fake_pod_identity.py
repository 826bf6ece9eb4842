"""`FakePodIdentity`: gives pods the identity of their service account at AWS, as EKS's pod identity webhook does.

The API server shows it each pod that is made. Where the pod's service account bears the annotation with a role, all
containers get a token of that account and the variables by which every AWS library takes on the role. STS is not
Amazon's here, so a variable says where it is, too.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from tests.cluster.certificates import Authority
from tests.cluster.clouds.web_identity import AUDIENCE

NAME = "fake-pod-identity"
ROLE = "eks.amazonaws.com/role-arn"
_AUDIENCE, _EXPIRATION = "eks.amazonaws.com/audience", "eks.amazonaws.com/token-expiration"
_DAY = 86_400
_VOLUME, _FOLDER, _TOKEN = "aws-iam-token", "/var/run/secrets/eks.amazonaws.com/serviceaccount", "token"
_GONE = 404
Manifest = dict[str, Any]


def mutated(pod: Mapping[str, Any], annotations: Mapping[str, str], region: str, sts: str) -> Manifest | None:
    """Return a pod's spec as it is with the identity; None where the service account's `annotations` name no role.

    What a container says itself is left as it is.
    """
    role = annotations.get(ROLE)
    if role is None:
        return None
    variables = {
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{_FOLDER}/{_TOKEN}",
        "AWS_ENDPOINT_URL_STS": sts,
    }
    token = {
        "audience": annotations.get(_AUDIENCE, AUDIENCE),
        "expirationSeconds": int(annotations.get(_EXPIRATION, _DAY)),
        "path": _TOKEN,
    }
    volume = {"name": _VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}
    spec: Manifest = {**pod["spec"], "volumes": [*pod["spec"].get("volumes", ()), volume]}
    for field in ("initContainers", "containers"):
        if field in spec:
            spec[field] = [_with_identity(each, variables) for each in spec[field]]
    return spec


def _with_identity(container: Mapping[str, Any], variables: Mapping[str, str]) -> Manifest:
    own = container.get("env", [])
    named = {each["name"] for each in own}
    more = [{"name": name, "value": value} for name, value in variables.items() if name not in named]
    mount = {"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True}
    return {**container, "env": [*own, *more], "volumeMounts": [*container.get("volumeMounts", ()), mount]}


class FakePodIdentity:
    """A context manager: the API server asks it within. `sts` is the address of STS."""

    def __init__(self, client: kubernetes.ApiClient, region: str, sts: str, *, host: str, port: int = 0) -> None:
        self._core: Any = kubernetes.CoreV1Api(client)
        self._registrations: Any = kubernetes.AdmissionregistrationV1Api(client)
        self._region, self._sts, self._host = region, sts, host
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name=NAME, daemon=True)

    def __enter__(self) -> Self:
        """Serve, and tell the API server."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            authority = Authority(folder, NAME)
            authority.issue("server", NAME, hosts=[self._host])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
            bundle = authority.file.read_bytes()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread.start()
        self._unregister()
        self._registrations.create_mutating_webhook_configuration(self._registration(bundle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Be asked no more."""
        self._unregister()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reviewed(self, request: Mapping[str, Any]) -> Manifest:
        """Answer the `request` of an AdmissionReview."""
        pod, answer = request["object"], {"uid": request["uid"], "allowed": True}
        spec = mutated(pod, self._annotations(request["namespace"], pod), self._region, self._sts)
        if spec is None:
            return answer
        patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec}])
        return {**answer, "patchType": "JSONPatch", "patch": base64.b64encode(patch.encode()).decode()}

    def _annotations(self, namespace: str, pod: Mapping[str, Any]) -> Mapping[str, str]:
        account = pod["spec"].get("serviceAccountName", "default")
        try:
            found = self._core.read_namespaced_service_account(account, namespace)
        except ApiException as error:
            if error.status == _GONE:
                return {}
            raise
        return found.metadata.annotations or {}

    def _registration(self, bundle: bytes) -> Manifest:
        webhook = {
            "name": "pod-identity.asya.test",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": f"https://{self._host}:{self._server.server_port}/mutate",
                "caBundle": base64.b64encode(bundle).decode(),
            },
            "failurePolicy": "Ignore",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "sideEffects": "None",
            "timeoutSeconds": 5,
        }
        return {"metadata": {"name": NAME}, "webhooks": [webhook]}

    def _unregister(self) -> None:
        try:
            self._registrations.delete_mutating_webhook_configuration(NAME)
        except ApiException as error:
            if error.status != _GONE:
                raise

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        identity = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = {**review, "response": identity.reviewed(review["request"])}
                del answer["request"]
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
                """Say nothing of each request."""

        return Handler
