"""SQS and S3 for tests: moto's server, a process of its own on a free loopback port.

moto looks for messages without a lock, so that two questions at once may be given the same one; and it forgets what is
sent, or remembers what is deleted, while another message is being deleted. Here all these take turns.
It also looks at the clock several times for each message in a queue, whatever it is asked; here that costs little.

`MotoServer` is a context manager. `authorise` switches moto's IAM checks on; until then everybody may do everything.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from tests.support.host import Started, dies_with_parent, free_port

READY_SECONDS = 60.0
REGION, ACCOUNT = "eu-west-1", "123456789012"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Credentials that moto takes while it authorises nobody."""
_PROFILE = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
"""Variables that choose a profile of whose machine it is, which may not be there, or be somebody's real account."""


class MotoServer(Started):
    """One server. `bucket` is there for claim checks."""

    region, account = REGION, ACCOUNT

    def __init__(self) -> None:
        self.port = free_port()
        self.bucket = f"claims-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="asya-moto-", suffix=".log")  # noqa: SIM115  as long as this

    @property
    def url(self) -> str:
        """Address of every API."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """How the server is run."""
        return [sys.executable, "-m", __name__, str(self.port)]

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._process = subprocess.Popen(
            dies_with_parent(self.command()),
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if name not in _PROFILE} | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, f"no answer in {READY_SECONDS:g} s\n{self.log()}"
                time.sleep(0.05)
        self.client("s3").create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": self.region}
        )

    def stop(self) -> None:
        """End the server; what was in it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def remove(self) -> None:
        """End the server and remove its log."""
        self.stop()
        self._log.close()

    def client(self, service: str, **credentials: str) -> Any:
        """Return a client of its own for looking from outside."""
        # No profile, whatever the environment says.
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        given = credentials or {
            "aws_access_key_id": ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        }
        style = Config(s3={"addressing_style": "path"})
        return session.create_client(service, region_name=self.region, endpoint_url=self.url, config=style, **given)

    def user(self, name: str, *statements: dict[str, Any]) -> dict[str, str]:
        """Make a user with one policy; returns its keys, as environment variables."""
        self.client("iam").create_user(UserName=name)
        self.allow(name, *statements)
        return self.key(name)

    def allow(self, name: str, *statements: dict[str, Any]) -> None:
        """Let a user do what these statements say, and nothing else; while nobody is authorised."""
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.client("iam").put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)

    def key(self, name: str) -> dict[str, str]:
        """Make one more access key of a user; returns it, as environment variables."""
        key = self.client("iam").create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def authorise(self, *, on: bool) -> None:
        """Check permissions from now on, or no more."""
        number = b"0" if on else b"inf"
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth", data=number, headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    def log(self) -> str:
        """What the server printed, for a failure message."""
        return Path(self._log.name).read_text(errors="replace")[-4000:]


def take_turns() -> None:
    """Let moto take, hand out and delete messages one call at a time; waiting does not hold up anybody."""
    from moto.sqs.models import Message, Queue, SQSBackend

    look, add, delete = SQSBackend.receive_message, Queue.add_message, Queue.delete_message
    turn = threading.RLock()  # looking may move a message to the dead letters

    def receive_message(
        self: SQSBackend, queue_name: str, count: int, wait_seconds_timeout: int, *more: Any, **named: Any
    ) -> Any:
        end = time.monotonic() + wait_seconds_timeout
        while True:
            with turn:
                found = look(self, queue_name, count, 0, *more, **named)
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            # moto's own wait returns at once for messages that their group holds back.
            time.sleep(min(left, 0.02))

    def add_message(self: Queue, message: Message) -> None:
        with turn:
            add(self, message)

    def delete_message(self: Queue, receipt_handle: str) -> None:
        with turn:
            delete(self, receipt_handle)

    SQSBackend.receive_message = receive_message  # type: ignore[method-assign]
    Queue.add_message, Queue.delete_message = add_message, delete_message  # type: ignore[method-assign]


def ask_the_clock_cheaply() -> None:
    """Have moto ask the system's clock; it asks by way of two calendar dates, for each message at each call."""
    from moto.sqs import models

    models.unix_time_millis = lambda: time.time() * 1000.0
    models.unix_time = time.time


def tell_where_dead_letters_come_from() -> None:
    """Have moto answer `DeadLetterQueueSourceArn`, as SQS does for what it has moved itself (API Reference)."""
    from moto.sqs.models import Message, Queue, sqs_backends
    from moto.sqs.responses import SQSResponse

    add, receive = Queue.add_message, SQSResponse.receive_message
    sources: dict[str, str] = {}

    def add_message(self: Queue, message: Message) -> None:
        if message.approximate_receive_count:
            queues = sqs_backends[self.account_id][self.region].queues.values()
            sources[message.id] = next(queue.queue_arn for queue in queues if queue.dead_letter_queue is self)
        add(self, message)

    def receive_message(self: SQSResponse) -> Any:
        answer = receive(self)
        if "DeadLetterQueueSourceArn" in self._get_param("MessageSystemAttributeNames", []):
            for message in answer.result.get("Messages", ()):
                if message["MessageId"] in sources:
                    message.setdefault("Attributes", {})["DeadLetterQueueSourceArn"] = sources[message["MessageId"]]
        return answer

    Queue.add_message = add_message  # type: ignore[method-assign]
    SQSResponse.receive_message = receive_message  # type: ignore[method-assign]


if __name__ == "__main__":
    from moto.server import main

    take_turns()
    ask_the_clock_cheaply()
    tell_where_dead_letters_come_from()
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
