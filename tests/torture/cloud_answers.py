"""What only clouds answer: throttling, faults of their own, credentials that are over, actions that are denied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.torture import trouble
from tests.torture.clouds import CloudProxy
from tests.torture.model import CLOUDS, PUBSUB, RABBITMQ, SQLITE, Ends, Row
from tests.torture.network import again
from tests.torture.pods import SHORT_LEASE
from tests.torture.scene import ACTORS, FIRST, SECOND, Scene
from tests.torture.trouble import Trouble

STORM = 20
"""Calls that are refused in a storm, for each pod."""
HEARD = 5
"""Calls of each pod that are refused before what was wrong is put right."""
SENDING = ("SendMessageBatch", "Publish")
ALLOWED = [
    f"sqs:{action}{batch}"
    for action in ("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    for batch in ("", "Batch")  # moto asks for batches by their own names, which AWS does not
]


async def storm(scene: Scene, kind: str) -> Ends:
    """Every second call is refused, whatever it is, until there have been many."""
    lines = await _lines(scene)
    for line in lines:
        line.trouble = Trouble(kind, passing=2, left=STORM)
    await scene.flow()
    scene.control.done = sum(_met(line) for line in lines)
    if scene.control.done < STORM * len(lines):
        raise AssertionError(f"only {scene.control.done} calls were refused: {[line.trouble for line in lines]}")
    # A call that is refused has done nothing, and is made again.
    return Ends()


async def refused(scene: Scene, kind: str, only: Sequence[str] = ()) -> Ends:
    """From the middle of the flow on calls are refused, until the pods have heard it several times."""
    scene.settings |= SHORT_LEASE  # what is denied for good is not asked for again: the message comes again instead
    lines = await _lines(scene)

    async def begin() -> None:
        for line in lines:
            line.trouble = Trouble(kind, only=tuple(only))
        scene.soon(end())

    async def end() -> None:
        await scene.happened(lambda: all(_met(line) >= HEARD for line in lines), "every pod has heard it")
        for line in lines:
            line.trouble = None

    scene.control.plan("during-call", SECOND, begin, 1)
    await scene.flow()
    return again(scene, len(ACTORS))


async def denied(scene: Scene) -> Ends:
    """The permission to send is taken away, and given back; on SQS by moto's own IAM."""
    if scene.kind == PUBSUB:
        return await refused(scene, trouble.DENIED, SENDING)
    scene.settings |= SHORT_LEASE
    keys = scene.moto.user(scene.namespace, _may(ALLOWED))

    async def deny() -> None:
        scene.moto.allow(scene.namespace, _may(ALLOWED[2:]))
        scene.moto.authorise(on=True)
        scene.soon(allow())

    async def allow() -> None:
        try:
            told = "sqs:SendMessage is denied; the IAM statement"
            await scene.happened(lambda: told in scene.mesh.tails(), "a pod is told which statement is missing")
            scene.moto.authorise(on=False)
            scene.moto.allow(scene.namespace, _may(ALLOWED))
            scene.moto.authorise(on=True)
            await _goes_on(scene)
        finally:
            scene.moto.authorise(on=False)

    await scene.prepare()
    for actor in ACTORS:
        scene.pod(actor, sidecar=keys)
    scene.control.plan("during-call", FIRST, deny, 1)
    await scene.flow()
    return again(scene, len(ACTORS))


async def revoked(scene: Scene) -> Ends:
    """The access key is deleted in mid-run; another one takes its place in the file that the pods read."""
    scene.settings |= SHORT_LEASE
    keys = scene.moto.user(scene.namespace, _may(ALLOWED))
    file = scene.folder / "credentials"
    _write(file, keys)
    await scene.prepare()
    for actor in ACTORS:
        environ = scene.pod(actor, sidecar={"AWS_SHARED_CREDENTIALS_FILE": str(file)}).sidecar.env
        for name in keys:
            del environ[name]  # the environment would beat the file

    async def revoke() -> None:
        iam = scene.moto.client("iam")
        iam.delete_access_key(UserName=scene.namespace, AccessKeyId=keys["AWS_ACCESS_KEY_ID"])
        scene.moto.authorise(on=True)
        scene.soon(replace())

    async def replace() -> None:
        try:
            told = "does not accept the credentials"
            await scene.happened(lambda: told in scene.mesh.tails(), "a pod is told that its key is not accepted")
            scene.moto.authorise(on=False)
            _write(file, scene.moto.key(scene.namespace))
            scene.moto.authorise(on=True)
            await _goes_on(scene)
        finally:
            scene.moto.authorise(on=False)

    scene.control.plan("during-call", FIRST, revoke, 1)
    await scene.flow()
    return again(scene, len(ACTORS))


def _may(actions: Sequence[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


def _write(file: Path, keys: Mapping[str, str]) -> None:
    """Put keys in the place of those that a shared credentials file had, in one step."""
    new = file.with_suffix(".new")
    new.write_text("[default]\n" + "".join(f"{name.lower()} = {value}\n" for name, value in keys.items()))
    new.rename(file)


async def _goes_on(scene: Scene) -> None:
    """While AWS looks at who asks, messages move again."""
    before = len(scene.lines())
    await scene.happened(lambda: len(scene.lines()) > before + scene.total // 20, "calls are made again")


async def _lines(scene: Scene) -> list[CloudProxy]:
    """A pod of each actor behind a line that can answer in the cloud's place."""
    await scene.prepare()
    lines = [await scene.cloud_proxy(actor) for actor in ACTORS]
    for actor, line in zip(ACTORS, lines, strict=True):
        scene.pod(actor, proxy=line)
    return lines


def _met(line: CloudProxy) -> int:
    return 0 if line.trouble is None else line.trouble.met


_OURS = {
    SQLITE: "a file refuses nobody",
    RABBITMQ: "it does not, see where its memory is used up",
}
_NOBODY = {
    SQLITE: "it has no credentials, the file's owner decides",
    RABBITMQ: "they are looked at when a connection is made, see where connections are reset",
}
_HOLDS = ("broker-refuses", "redelivered")
ROWS = [
    Row(
        "throttled", "every second call is throttled for a while", partial(storm, kind=trouble.THROTTLED),
        ("broker-refuses",), _OURS,
    ),
    Row(
        "unavailable", "every second call meets a fault of the cloud's own for a while",
        partial(storm, kind=trouble.UNAVAILABLE), ("broker-refuses",), _OURS, long_only=CLOUDS,
    ),
    Row(
        "credentials-expired", "the credentials of all pods expire in mid-run, then there are new ones",
        partial(refused, kind=trouble.EXPIRED), _HOLDS, _NOBODY,
    ),
    Row(
        "credentials-revoked", "the access key of all pods is deleted in mid-run, and replaced by another",
        revoked, _HOLDS,
        _NOBODY | {PUBSUB: "the emulator knows no credentials; for a server that answers so, see expired ones"},
    ),
    Row("denied", "the permission to send is taken away in mid-run, and given back", denied, _HOLDS, _NOBODY),
    Row(
        "clock-skew", "the clocks are too far apart for the cloud to accept a signature, then no more",
        partial(refused, kind=trouble.SKEWED), _HOLDS,
        {
            SQLITE: "nobody compares clocks",
            RABBITMQ: "nobody compares clocks",
            PUBSUB: "calls carry no time; a token is refused as where credentials expire",
        },
        long_only=CLOUDS,
    ),
]  # fmt: skip
