"""OpenTelemetry spans of a sidecar: one trace for each task, a parent chain through its hops.

Imported only where an endpoint is set, and OpenTelemetry with it. `context` reads and writes the headers, `attributes`
says what a span says, `tracer` is the `observe.Tracer`, `export` sends spans away without ever holding up the loop.
"""
