"""Reserved header names. Everything else under `headers` belongs to the user and passes untouched."""

from __future__ import annotations

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

HOP = "x-asya-hop"
"""How many actors have handled the message; a number that only grows. Guard against loops, part of child ids."""

FIRST_ATTEMPT = "x-asya-first-attempt"
"""RFC 3339 time of the first attempt at the present actor; only between attempts."""

TERMINAL_ATTEMPT = "x-asya-terminal-attempt"
"""Number of this attempt at the sink, the sump or a hook behind the sink; only between attempts.

There the status is the task's outcome and stays so.
"""

GATEWAY_URL = "x-asya-gateway-url"
"""Where reports of this envelope go; http or https with a host, else ignored."""

MESH_STATUS = "x-asya-mesh-status"
"""`off`: no reports at all for this envelope."""

ROUTE_OVERRIDE = "x-asya-route-override"
"""`{actor: replacement}`, applied by the sender just before the queue is chosen."""

ROUTE_RESOLVED = "x-asya-route-resolved"
"""`{actor: {"target": replacement, "by": sender}}`: which overrides were used."""

FLOW = "x-asya-flow"
PAUSE = "x-asya-pause"
"""Present in a result: stop here, the task waits for input."""

TRACE_PREVIOUS = "x-asya-trace-previous"
"""The `traceparent` of the attempt before this one; the next attempt's span links to it. Only between attempts."""

TRACE_LINKS = "x-asya-trace-links"
"""`[traceparent]` of messages that were joined into this one; who joins sets it, the sending sidecar takes it off."""
