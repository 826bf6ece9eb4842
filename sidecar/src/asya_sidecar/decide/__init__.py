"""What becomes of a message: the pure core. Values in, values out; no I/O, no clock.

`before_call`, `after_call` and `undeliverable` cover every row of tests/truth-table.yaml; `Decision.row` names the row.
"""

from asya_sidecar.decide.after import after_call, child_send, deadline_of, terminal_final
from asya_sidecar.decide.before import before_call, receive
from asya_sidecar.decide.model import (
    KEEP,
    Actor,
    Away,
    Canceled,
    Decision,
    Ended,
    Failed,
    Final,
    Outcome,
    Result,
    Send,
)
from asya_sidecar.decide.publishing import undeliverable

__all__ = [
    "KEEP",
    "Actor",
    "Away",
    "Canceled",
    "Decision",
    "Ended",
    "Failed",
    "Final",
    "Outcome",
    "Result",
    "Send",
    "after_call",
    "before_call",
    "child_send",
    "deadline_of",
    "receive",
    "terminal_final",
    "undeliverable",
]
