"""One child process: started tied to us, its output read line by line, ended with its whole process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from asya.local import launch

_READ_BYTES = 65536
_LINE_BYTES = 1 << 20
_LAST_WORDS_SECONDS = 2.0


class Child:
    """A running program in a process group of its own."""

    def __init__(self, process: asyncio.subprocess.Process, reading: asyncio.Task[None]) -> None:
        self._process, self._reading = process, reading

    @property
    def pid(self) -> int:
        """Process id, which is also the group's."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code (negative: the signal that ended it), None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end and for all it wrote; then make sure that nothing of its group is left."""
        code = await self._process.wait()
        self.kill()
        await asyncio.wait([self._reading], timeout=_LAST_WORDS_SECONDS)
        self._reading.cancel()  # only a grandchild that left the group can still hold the pipe
        return code

    def terminate(self) -> None:
        """Ask the program, not its children, to stop."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


async def start(argv: Sequence[str], env: Mapping[str, str], on_line: Callable[[bytes], None]) -> Child:
    """Start `argv`; `on_line` gets each line of its output, without its end, longer ones in pieces of 1 MiB.

    Raises:
        OSError: The program cannot be started.
    """
    wrapped = [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid()), *argv]
    process = await asyncio.create_subprocess_exec(
        *wrapped,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Ctrl-C at the terminal is for the supervisor alone, which then drains.
        process_group=0,
    )
    output = process.stdout
    if output is None:
        raise OSError("no pipe for the program's output")
    return Child(process, asyncio.create_task(_read(output, on_line), name=f"output of {process.pid}"))


async def _read(output: asyncio.StreamReader, on_line: Callable[[bytes], None]) -> None:
    rest = b""
    while chunk := await output.read(_READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            on_line(line)
        if len(rest) > _LINE_BYTES:
            on_line(rest)
            rest = b""
    if rest:
        on_line(rest)
