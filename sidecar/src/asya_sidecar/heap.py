"""Keeping the memory of large messages for the next one.

Left alone, glibc takes each large block from the system and gives it back, and having fresh pages zeroed costs several
times what is done with them. It learns from the largest block that was freed (mallopt(3), M_MMAP_THRESHOLD), so it is
shown one, untouched and therefore never real, just below the largest it learns from (32 MiB). Other C libraries do not
care. Only who has large messages keeps more memory for it: at most twice that block.
"""

from __future__ import annotations

LARGE = 65_536
"""Bytes of a message that is large."""
_shown = [32 * 1024 * 1024 - 65_536]


def keep() -> None:
    """Have freed memory kept, from the first large message on."""
    while _shown:
        bytes(_shown.pop())
