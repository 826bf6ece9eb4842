"""What is unsettled on one channel, and the frames that settle it. Pure."""

from __future__ import annotations

from asya.transports.rabbitmq import frames


class Settlements:
    """Collects what is settled until it is taken.

    Acknowledgements that reach back to the oldest unsettled delivery go in one frame (`multiple`), which is less work
    for the broker too. Such a frame also takes whatever is older, so nothing may be forgotten here: a tag that never
    came to us counts as unsettled for ever, and what is given back goes out first.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._last = 0
        self._unsettled: dict[int, None] = {}
        self._acked: set[int] = set()
        self._given_back: list[int] = []

    def arrived(self, tag: int) -> None:
        """Note a delivery; the broker numbers those of a channel from 1, without gaps."""
        if tag == self._last + 1:
            self._unsettled[tag] = None
        else:
            for number in range(self._last + 1, tag + 1):
                self._unsettled[number] = None
        self._last = tag

    def ack(self, tag: int) -> int:
        """Note that a delivery is done with; return how many acknowledgements wait to be taken."""
        self._acked.add(tag)
        return len(self._acked)

    def give_back(self, tag: int) -> bool:
        """Note that a delivery goes back into its queue; tell whether it is the first since the last `take`."""
        first = not self._given_back
        del self._unsettled[tag]
        self._given_back.append(tag)
        return first

    def take(self) -> bytes:
        """Return the frames for what was noted since the last time."""
        found = [frames.give_back(self._channel, tag) for tag in self._given_back]
        self._given_back.clear()
        run: list[int] = []
        for tag in self._unsettled:
            if tag not in self._acked:
                break
            run.append(tag)
        if run:
            found.append(frames.ack(self._channel, run[-1], multiple=len(run) > 1))
            self._acked.difference_update(run)
        found += [frames.ack(self._channel, tag) for tag in sorted(self._acked)]
        for tag in (*run, *self._acked):
            del self._unsettled[tag]
        self._acked.clear()
        return b"".join(found)
