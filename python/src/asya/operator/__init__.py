"""What a composition cannot do: the crew of each namespace, the registry of actors, sidecars in other people's pods.

Belongs here: pure functions that say what should be (`crew`, `registry`, `injection`, `orphans`), and thin edges that
make it so (`cluster`, `broker`, `rounds`, `handlers`). `stock` runs in other people's pods and needs nothing but a
standard library. Does not belong here: what is made for one actor alone (the composition function), moving messages.
"""
