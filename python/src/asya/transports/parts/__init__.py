"""What transports have in common, to build the next one from (docs/guides/new-transport.md); no broker is known here.

`LeasedTransport` with `LeasedConsumer` is all of a transport but what its broker does, for brokers that are asked for
messages and lease them; `ListedDeadLetters` are dead letters that can be read where they lie. `LinkKeeper` connects
again, `Gathering` sends together what is asked for at once, `Backoff` waits.
"""

from asya.transports.parts.backoff import Backoff
from asya.transports.parts.gathering import Gathering
from asya.transports.parts.leased_consumer import Held, LeasedConsumer, Received, Source, lost
from asya.transports.parts.leased_transport import LeasedTransport
from asya.transports.parts.link_keeper import LinkKeeper
from asya.transports.parts.listed_dead_letters import ListedDeadLetters

__all__ = [
    "Backoff",
    "Gathering",
    "Held",
    "LeasedConsumer",
    "LeasedTransport",
    "LinkKeeper",
    "ListedDeadLetters",
    "Received",
    "Source",
    "lost",
]
