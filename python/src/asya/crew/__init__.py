"""The crew: actors that belong to the platform, as ordinary handlers on the ordinary runtime.

Belongs here: what happens to a message at the end of its route (`sink`) and at the last resort (`sump`), and where it
is kept (`checkpoint`). Does not belong here: who is told of the outcome, which is the sidecar's work. A crew handler
sees a message only as any handler does: its payload, and the context that the runtime offers to everyone.
"""
