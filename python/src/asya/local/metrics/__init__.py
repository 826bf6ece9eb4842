"""`asya up --metrics`: the whole mesh as one Prometheus target, with dashboards, alert rules and a live page.

`replicas` asks every sidecar, `merged` adds what they say up so that no counter goes back, `own` adds what the
supervisor knows, `live` keeps some minutes of it for the page, `app` serves it all. Loaded only with the option.
"""
