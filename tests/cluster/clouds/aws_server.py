"""An AWS of our own: moto behind one port, with an administrator, the provider's user, and authorisation when asked.

moto is the account 123456789012. It reads an identity's policies by action and resource, and by the tags of queues (see
`tests.support.moto_iam`), but by no other condition; so the provider's user has the actions of the policy that the
project ships for it, without their conditions, on everything.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import Queue
from tests.cluster.clouds.web_identity import WebIdentity
from tests.support.moto_iam import teach
from werkzeug.serving import make_server

ACCOUNT = "123456789012"
PROVIDER_POLICY = Path(__file__).resolve().parents[3] / "crossplane" / "providers" / "aws" / "provider-policy.json"
_NEVER = 10**9
_ROOT = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class Keys:
    """What somebody signs with."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def options(self) -> dict[str, str]:
        """Return the keys as boto3's clients take them."""
        found = {"aws_access_key_id": self.access_key_id, "aws_secret_access_key": self.secret_access_key}
        return found if self.session_token is None else {**found, "aws_session_token": self.session_token}


class AwsServer:
    """A context manager: the server runs within it. moto's state is the process's, and begins empty."""

    def __init__(self, region: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.region = region
        self.web_identity = WebIdentity(DomainDispatcherApplication(create_backend_app), ACCOUNT)
        self._server = make_server(host, port, self.web_identity, threaded=True, request_handler=MotoRequestHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="moto", daemon=True)
        self.endpoint = f"http://{host}:{self._server.server_port}"
        self.administrator = self.provider = Keys("", "")

    def __enter__(self) -> Self:
        """Serve; make the two users."""
        teach()
        _teach_redrive_allow_policy()
        self._thread.start()
        self._post("reset", "")
        self.authorise(on=False)
        self.administrator = self._user("administrator", _EVERYTHING)
        actions = [name for each in json.loads(PROVIDER_POLICY.read_text())["Statement"] for name in each["Action"]]
        allowed = {"Effect": "Allow", "Action": sorted(actions), "Resource": "*"}
        self.provider = self._user("provider", {"Version": "2012-10-17", "Statement": [allowed]})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving; leave moto as other users of it in this process expect it."""
        self.authorise(on=False)
        self._post("reset", "")
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def authorise(self, *, on: bool = True) -> None:
        """From now on let only those act whose policies allow it, or let everybody."""
        self._post("reset-auth", "0" if on else str(_NEVER))

    def client(self, service: str, keys: Keys | None = None) -> Any:
        """Return a client of boto3 with `keys`; one that need not sign, without."""
        given = _ROOT if keys is None else keys.options()
        once = Config(retries={"total_max_attempts": 1})
        make: Any = boto3.client
        return make(service, endpoint_url=self.endpoint, region_name=self.region, config=once, **given)

    def role(self, arn: str, token: str) -> Keys:
        """Take on a role with the token of a service account, as a pod does."""
        answer = self.client("sts").assume_role_with_web_identity(
            RoleArn=arn, RoleSessionName="pod", WebIdentityToken=token
        )
        found = answer["Credentials"]
        return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def _user(self, name: str, policy: object) -> Keys:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(policy))
        found = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(found["AccessKeyId"], found["SecretAccessKey"])

    def _post(self, path: str, body: str) -> None:
        plain = {"Content-Type": "text/plain"}
        address = f"{self.endpoint}/moto-api/{path}"
        request = urllib.request.Request(address, body.encode(), plain, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def _teach_redrive_allow_policy() -> None:
    """moto keeps this attribute of a queue, but knows it not when it is asked for it."""
    name = "RedriveAllowPolicy"
    if name not in Queue.BASE_ATTRIBUTES:
        Queue.BASE_ATTRIBUTES.append(name)
        setattr(Queue, "redrive_allow_policy", None)  # noqa: B010  it has no such attribute yet
