"""Talking to a cluster from a person's shell: with a kubeconfig, and nothing that has to be set up before.

`options` says when a cluster is meant and which. `kubeconfig` reads contexts; `api` asks the API server and forwards
ports, and alone knows the client library. `actors` reads AsyncActors, `platform` the settings of their Composition.
`places` finds where the broker listens, `tunnel` reaches it there, `transport` joins all that, `sending` publishes.
"""
