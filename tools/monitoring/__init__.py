"""Dashboards, alert rules and the live page's panels, from one definition that knows every metric by name.

`catalogue` knows the metrics and refuses what does not exist; `panels` is what a panel consists of; `mesh`, `actor`,
`flow` and `service_map` are the dashboards and `alerts` the rules; `promql`, `grafana` and `rules` write them down.
"""
