"""What a sidecar counts, and how it is shown.

`definitions` says what there is, as data, for whoever draws or alerts; `outcomes` which label values the rows of the
truth table have. Counting itself is plain numbers on the hot path; `prometheus_client` is loaded by the first scrape.
"""
