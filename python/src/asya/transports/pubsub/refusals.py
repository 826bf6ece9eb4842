"""What Google's words mean: from the status of a call to our errors, naming resource, role and setting. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc

from asya.errors import (
    ConnectionLostError,
    DeniedError,
    NoDestinationError,
    RefusedError,
    TransportError,
)
from asya.transports.pubsub.messages import CLASSES

_DETAILS: Final = "grpc-status-details-bin"
_BROKEN: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
}
_TEMPORARY: Final = "TRANSIENT_FAILURE_"


class ExistsError(TransportError):
    """What should be made is there already."""


class InvalidError(TransportError):
    """The call itself was refused as wrong."""


class IdsError(TransportError):
    """Some ids failed on an exactly-once subscription; those that are not named have been carried out.

    `failed`: by id, whether another try may help.
    """

    def __init__(self, failed: dict[str, bool]) -> None:
        self.failed = failed
        super().__init__(f"{len(failed)} deliveries were not ours any more, or could not be settled for now")


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for: the verb as in "may not publish to", the resource, the role that allows it, whose queue."""

    verb: str
    resource: str
    role: str
    actor: str = ""

    @property
    def project(self) -> str:
        """Project of the resource."""
        return self.resource.split("/")[1]


def meaning(error: grpc.RpcError, call: Call) -> TransportError:
    """Return the error of ours that says what became of `call`."""
    code, text = _code(error), _text(error)
    name = call.resource.rpartition("/")[2]
    if failed := _failed_ids(error):
        return IdsError(failed)
    match code:
        case grpc.StatusCode.ALREADY_EXISTS:
            return ExistsError(f"{call.resource} exists")
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            return InvalidError(f"could not {call.verb} {name}: {text}")
        case grpc.StatusCode.NOT_FOUND if "project" in text.lower() and name not in text:
            return DeniedError(
                f"the project {call.project!r} is not there or may not be used; check ASYA_PUBSUB_PROJECT_ID: {text}"
            )
        case grpc.StatusCode.NOT_FOUND:
            return NoDestinationError(actor=call.actor, queue=call.resource)
        case grpc.StatusCode.PERMISSION_DENIED:
            return DeniedError(f"may not {call.verb} {call.resource}: it takes {call.role} there: {text}")
        case grpc.StatusCode.UNAUTHENTICATED:
            return DeniedError(f"the credentials are not valid or have expired, cannot {call.verb} {name}: {text}")
        case grpc.StatusCode.RESOURCE_EXHAUSTED | grpc.StatusCode.FAILED_PRECONDITION:
            return RefusedError(f"Pub/Sub refuses for now to {call.verb} {name}: {text}")
        case _ if code in _BROKEN:
            return ConnectionLostError(f"could not {call.verb} {name}: {text}")
        case _:
            return TransportError(f"could not {call.verb} {name}: {code.name if code else 'no status'}: {text}")


def _failed_ids(error: grpc.RpcError) -> dict[str, bool]:
    for key, value in getattr(error, "trailing_metadata", tuple)() or ():
        if key == _DETAILS and isinstance(value, bytes):
            found = {id_: why for id_, why in _metadata(value).items() if "FAILURE" in why}
            return {id_: why.startswith(_TEMPORARY) for id_, why in found.items()}
    return {}


def _metadata(status: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    details: Any = CLASSES["Status"].FromString(status).details
    for detail in details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            info: Any = CLASSES["ErrorInfo"].FromString(detail.value)
            found.update({entry.key: entry.value for entry in info.metadata})
    return found


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if hasattr(error, "code") else None


def _text(error: grpc.RpcError) -> str:
    return (error.details() if hasattr(error, "details") else "") or str(error)
