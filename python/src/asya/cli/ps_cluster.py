"""`asya ps` of a cluster."""

from __future__ import annotations

import click

from asya.cli.cluster.actors import actors_of
from asya.cli.cluster.api import Cluster
from asya.cli.cluster.listing import records, table
from asya.cli.cluster.options import Choice
from asya.cli.shared import print_json


def show(choice: Choice, *, as_json: bool) -> None:
    """Print the actors of a namespace.

    Raises:
        ClusterError: They cannot be had.
    """
    cluster = Cluster(choice)
    actors = actors_of(cluster)
    if as_json:
        print_json({"context": cluster.context, "namespace": cluster.namespace, "actors": records(actors)})
        return
    click.echo(f"context {cluster.context}, namespace {cluster.namespace}", err=True)
    for line in table(actors):
        click.echo(line)
