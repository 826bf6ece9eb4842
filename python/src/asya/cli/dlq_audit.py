"""The audit of dead letters: one JSON line for each that is redriven or dropped, written before it is.

A line that says what was asked for and did not come about is followed by another one with the error. Fields: `time`
(RFC 3339), `who` (user@host), `action` (redrive, drop), `transport`, `namespace`, `actor`, `id`, `reason`, `attempts`,
`error_type`, `edited`, and `failed`, the error's text.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from asya.cli.dlq_letter import Letter
from asya.errors import AsyaError
from asya.wire import format_time

LOCAL_FILE = "audit.jsonl"


class Audit(AbstractContextManager["Audit"]):
    """Appends to a file; without one, prints to standard error, for whoever collects that."""

    def __init__(self, file: Path | None, *, transport: str, namespace: str) -> None:
        """Open the file.

        Raises:
            AsyaError: It cannot be written; nothing may be done then.
        """
        self._common = {"transport": transport, "namespace": namespace}
        self._who = _who()
        self._descriptor: int | None = None
        if file is not None:
            try:
                self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise AsyaError(f"the audit file {file} cannot be written: {error.strerror}") from None

    def tell(self, action: str, letter: Letter, *, edited: bool = False, failed: str | None = None) -> None:
        """Write a line.

        Raises:
            AsyaError: It cannot be written.
        """
        line = {
            "time": format_time(time.time()),
            "who": self._who,
            "action": action,
            **self._common,
            "actor": letter.actor,
            "id": letter.id,
            "reason": letter.reason,
            "attempts": letter.attempts,
            "error_type": letter.error_type or None,
            "edited": edited,
        }
        text = json.dumps(line if failed is None else {**line, "failed": failed}, ensure_ascii=False)
        try:
            self._write()(text)
        except OSError as error:
            raise AsyaError(f"the audit cannot be written: {error.strerror}; nothing more is done") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def _write(self) -> Callable[[str], object]:
        descriptor = self._descriptor
        if descriptor is None:
            return lambda text: click.echo(text, err=True)
        # One call for the whole line: those of two commands do not mix.
        return lambda text: os.write(descriptor, f"{text}\n".encode("utf-8", "surrogatepass"))


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
