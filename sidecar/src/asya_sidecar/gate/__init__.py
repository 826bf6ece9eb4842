"""Rate limits and circuit breakers around the call and around publishing; there is a gate only where one is configured.

`asya.policy` has the two as pure state machines; here they meet the event loop: who waits, for what, and who is told.
"""

from asya_sidecar.gate.gate import Gate
from asya_sidecar.gate.sending import Sending

__all__ = ["Gate", "Sending"]
