"""An in-memory broker, for simulations and tests: deterministic, driven by a clock that can be turned by hand.

Belongs here: the broker with its faults, and a transport that is connected to it. Nothing here survives the process.
"""

from asya.transports.memory.broker import MemoryBroker
from asya.transports.memory.clock import Clock, LoopClock, ManualClock
from asya.transports.memory.transport import MemoryTransport
from asya.transports.memory.wire import DirectWire, Wire

__all__ = ["Clock", "DirectWire", "LoopClock", "ManualClock", "MemoryBroker", "MemoryTransport", "Wire"]
