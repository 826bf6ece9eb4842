"""AssumeRoleWithWebIdentity for moto, which by itself gives any role to anybody: here the role's trust decides.

A pod asks unsigned, with a token of its service account. The token is shown to the cluster that issued it, then the
role's trust policy is read: the provider's name and conditions StringEquals, nothing else.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from kubernetes import client as kubernetes
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

AUDIENCE = "sts.amazonaws.com"
ACTION = "AssumeRoleWithWebIdentity"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Environ = dict[str, Any]


@dataclass(frozen=True)
class Claims:
    """Who a token is from and for: `issuer` without its scheme, `subject` as Kubernetes writes it."""

    issuer: str
    subject: str
    audiences: tuple[str, ...]


class RefusedError(Exception):
    """No role for this token: AWS's error code and a text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def review_with(client: kubernetes.ApiClient) -> Callable[[str], Claims]:
    """Return what checks a token at the cluster that issued it."""
    api: Any = kubernetes.AuthenticationV1Api(client)

    def review(token: str) -> Claims:
        asked = {"spec": {"token": token, "audiences": [AUDIENCE]}}
        status = api.create_token_review(asked).status
        if not status.authenticated:
            raise RefusedError("InvalidIdentityToken", status.error or "the cluster does not know the token")
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Claims(claims["iss"].removeprefix("https://"), status.user.username, tuple(status.audiences))

    return review


def admits(trust: Mapping[str, Any], account: str, claims: Claims) -> bool:
    """Tell whether a trust policy lets the owner of a token take on its role.

    Raises:
        ValueError: The policy has something that is not evaluated here.
    """
    return any(_admits(statement, account, claims) for statement in trust["Statement"])


def _admits(statement: Mapping[str, Any], account: str, claims: Claims) -> bool:
    if statement["Effect"] != "Allow" or set(statement) - {"Sid", "Effect", "Action", "Principal", "Condition"}:
        raise ValueError(f"not evaluated here: {statement}")
    condition = statement.get("Condition", {})
    if set(condition) - {"StringEquals"}:
        raise ValueError(f"not evaluated here: {condition}")
    known = {f"{claims.issuer}:sub": [claims.subject], f"{claims.issuer}:aud": claims.audiences}
    federated = f"arn:aws:iam::{account}:oidc-provider/{claims.issuer}"
    return (
        statement["Action"] == f"sts:{ACTION}"
        and statement["Principal"] == {"Federated": federated}
        and all(value in known.get(key, ()) for key, value in condition.get("StringEquals", {}).items())
    )


class WebIdentity:
    """WSGI in front of moto: answers the one action, hands everything else on."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]], account: str) -> None:
        self._app, self._account = app, account
        self.review: Callable[[str], Claims] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if environ["REQUEST_METHOD"] != "POST" or environ.get("HTTP_AUTHORIZATION"):
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        if form.get("Action") != ACTION:
            return self._app({**environ, "wsgi.input": io.BytesIO(body)}, start_response)
        try:
            status, answer = "200 OK", self._taken(form)
        except RefusedError as error:
            sender = "403 Forbidden" if error.code == "AccessDenied" else "400 Bad Request"
            status, answer = sender, _refusal(error)
        content = answer.encode()
        start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(content)))])
        return [content]

    def _taken(self, form: Mapping[str, str]) -> str:
        arn, session = form["RoleArn"], form["RoleSessionName"]
        if self.review is None:
            raise RefusedError("InvalidIdentityToken", "no cluster is known whose tokens could be reviewed")
        claims = self.review(form["WebIdentityToken"])
        try:
            role = iam_backends[self._account]["aws"].get_role_by_arn(arn)
        except NotFoundException:
            role = None
        if role is None or not admits(json.loads(role.assume_role_policy_document), self._account, claims):
            raise RefusedError("AccessDenied", f"Not authorized to perform sts:{ACTION}")
        taken = sts_backends[self._account]["aws"].assume_role_with_web_identity(
            region_name="us-east-1",
            role_session_name=session,
            role_arn=arn,
            policy=None,
            duration=int(form.get("DurationSeconds", "3600")),
            external_id=None,
        )
        return _answer(taken, session)


def _answer(taken: Any, session: str) -> str:
    values = {
        "AccessKeyId": taken.access_key_id,
        "SecretAccessKey": taken.secret_access_key,
        "SessionToken": taken.session_token,
        "Expiration": taken.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    credentials = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())
    user = f"<AssumedRoleUser><AssumedRoleId>{escape(taken.user_id)}</AssumedRoleId><Arn>{escape(taken.arn)}</Arn>"
    result = f"<Credentials>{credentials}</Credentials>{user}</AssumedRoleUser>"
    return (
        f'<{ACTION}Response xmlns="{_NAMESPACE}"><{ACTION}Result>{result}</{ACTION}Result>'
        f"<ResponseMetadata><RequestId>{escape(session)}</RequestId></ResponseMetadata></{ACTION}Response>"
    )


def _refusal(error: RefusedError) -> str:
    inside = f"<Type>Sender</Type><Code>{error.code}</Code><Message>{escape(str(error))}</Message>"
    return f'<ErrorResponse xmlns="{_NAMESPACE}"><Error>{inside}</Error><RequestId>0</RequestId></ErrorResponse>'
