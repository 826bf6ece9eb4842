"""A network namespace of our own, with one cable to this one on which packets can be made to vanish.

Needs iproute2 and root.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from types import TracebackType
from typing import Self

from tests.torture.model import UnavailableError

_NUMBERS = itertools.count()
# Belongs to nobody on the cable: a frame for it is taken by no one, and no error tells its sender.
_NOBODY = "02:00:00:00:00:99"


class NetworkNamespace:
    """A context manager. `host` is this side's address, which programs started behind `command` reach."""

    def __init__(self) -> None:
        number = next(_NUMBERS)
        # Two at once, and two runs side by side, must not meet: the process's id makes names and network.
        self.name = f"asya-{os.getpid()}-{number}"
        self._outer, self._inner = (f"av{os.getpid() % 100_000}{side}{number}" for side in "oi")
        network = (os.getpid() * 8 + number) % (1 << 14)
        prefix = f"10.213.{network >> 6}.{(network & 63) * 4 + 1}".rpartition(".")
        self.host, self.guest = f"{prefix[0]}.{prefix[2]}", f"{prefix[0]}.{int(prefix[2]) + 1}"

    @property
    def command(self) -> list[str]:
        """What to write before a command line for it to run inside."""
        return ["ip", "netns", "exec", self.name]

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self.name)
            _ip("link", "add", self._outer, "type", "veth", "peer", "name", self._inner)
            _ip("link", "set", self._inner, "netns", self.name)
            _ip("addr", "add", f"{self.host}/30", "dev", self._outer)
            _ip("link", "set", self._outer, "up")
            self._inside("addr", "add", f"{self.guest}/30", "dev", self._inner)
            self._inside("link", "set", self._inner, "up")
            self._inside("link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.remove()
            said = getattr(error, "stderr", "") or error
            raise UnavailableError(f"no network namespace can be made here: {said}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def drop_packets(self) -> None:
        """From now on whatever is sent on the cable, from either end, vanishes without a word."""
        _ip("neigh", "replace", self.guest, "lladdr", _NOBODY, "dev", self._outer, "nud", "permanent")
        self._inside("neigh", "replace", self.host, "lladdr", _NOBODY, "dev", self._inner, "nud", "permanent")

    def restore(self) -> None:
        """Let packets through again."""
        _ip("neigh", "replace", self.guest, "lladdr", self._mac(inner=True), "dev", self._outer, "nud", "permanent")
        own = self._mac(inner=False)
        self._inside("neigh", "replace", self.host, "lladdr", own, "dev", self._inner, "nud", "permanent")

    def remove(self) -> None:
        """Take it away, cable included. Idempotent."""
        for words in (("netns", "del", self.name), ("link", "del", self._outer)):
            subprocess.run(["ip", *words], capture_output=True, check=False)

    def _inside(self, *words: str) -> str:
        return _ip("-n", self.name, *words)

    def _mac(self, *, inner: bool) -> str:
        shown = self._inside("link", "show", self._inner) if inner else _ip("link", "show", self._outer)
        match = re.search(r"link/ether (\S+)", shown)
        assert match is not None, shown
        return match[1]


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True, timeout=10).stdout
