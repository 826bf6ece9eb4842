"""Every error raised on purpose.

::

    AsyaError
    ├── SettingsError          a process was configured wrongly; lists all problems at once
    ├── ManifestError          a manifest was refused; lists all problems at once
    ├── WireError              bytes that are no envelope (truth-table rows `unparsable`, `no-id`)
    ├── PolicyError            a resiliency policy or duration that cannot be understood
    └── TransportError         a broker did not do what it was asked to
        ├── TooLargeError      the message is over the transport's limit (`too-large`)
        ├── NoDestinationError the destination queue does not exist (`no-destination`)
        ├── RefusedError       blocked, throttled or rejected for now (`broker-refuses`)
        ├── ConnectionLostError the link to the broker broke; it may come back (`broker-refuses`)
        ├── LeaseLostError     the delivery was already given to somebody else
        └── DeniedError        credentials or permissions; does not heal by itself
"""

from __future__ import annotations

from typing import ClassVar


class AsyaError(Exception):
    """Root of the tree.

    `code` is a stable string for logs, metrics and machine-readable output; it never changes its meaning.
    """

    code: ClassVar[str] = "asya"


class SettingsError(AsyaError):
    """A process was configured wrongly.

    `problems`: one sentence each, naming the variable, what it held (never a secret's value) and what was expected.
    """

    code = "settings"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ManifestError(AsyaError):
    """A manifest was refused; `problems` holds one sentence each, with file, line and field path."""

    code = "manifest"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class WireError(AsyaError):
    """Bytes that are no envelope.

    `kind` is the truth-table row: `unparsable` or `no-id`.
    """

    code = "wire"

    def __init__(self, message: str, *, kind: str = "unparsable") -> None:
        self.kind = kind
        super().__init__(message)


class PolicyError(AsyaError):
    """A resiliency policy or duration that cannot be understood."""

    code = "policy"


class TransportError(AsyaError):
    """A broker did not do what it was asked to."""

    code = "transport"


class TooLargeError(TransportError):
    """The message is over the transport's limit; sizes in bytes."""

    code = "transport.too-large"

    def __init__(self, *, actor: str, size: int, limit: int) -> None:
        self.actor, self.size, self.limit = actor, size, limit
        super().__init__(f"message for {actor!r} is {size} bytes, the transport takes {limit}")


class NoDestinationError(TransportError):
    """The destination queue does not exist; `where` says in which part of the broker, if it has parts."""

    code = "transport.no-destination"

    def __init__(self, *, actor: str, queue: str, where: str = "") -> None:
        self.actor, self.queue = actor, queue
        super().__init__(f"actor {actor!r} has no queue ({queue}{' in ' if where else ''}{where})")


class RefusedError(TransportError):
    """Blocked, throttled or rejected for now; worth another try later.

    `actor` is set when only its queue refuses (it is full), None when the broker takes nothing at all.
    """

    code = "transport.refused"

    def __init__(self, message: str, *, actor: str | None = None) -> None:
        self.actor = actor
        super().__init__(message)


class ConnectionLostError(TransportError):
    """The link to the broker broke; it may come back."""

    code = "transport.connection-lost"


class LeaseLostError(TransportError):
    """The delivery was already given to somebody else: settling it is void."""

    code = "transport.lease-lost"


class DeniedError(TransportError):
    """Credentials or permissions; does not heal by itself."""

    code = "transport.denied"
