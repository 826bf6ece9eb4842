"""`function-asya`: from an `AsyncActor` to what runs it.

Belongs here: what is composed, when it is ready, and what people are told about it. Does not belong here: what an actor
may say (`asya.api`), anything that talks to a cluster or a broker.
"""
