"""The process beside an actor: receives envelopes, calls the handler through the runtime, sends results on, settles.

`decide` is the pure core; `loop` drives it; `carry` publishes and settles; `link` talks to the runtime; `report` to
whoever watches; `health` to the kubelet; `main` puts them together.
"""
