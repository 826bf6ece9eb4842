"""The embedded queue: one SQLite file for all actors of one machine, used by several processes at once.

Belongs here: the schema, what one transaction does, the thread that commits, wake-ups between processes.
Does not belong here: what is inside a message, and who scales on a depth.
"""

from asya.transports.sqlite.reader import Reader
from asya.transports.sqlite.transport import SqliteTransport

__all__ = ["Reader", "SqliteTransport"]
