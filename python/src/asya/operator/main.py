"""Start the operator: settings, the two clients, the framework."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any, cast

import kopf

from asya.errors import AsyaError
from asya.operator.broker import Broker
from asya.operator.cluster import connect
from asya.operator.handlers import Worker, register, register_webhook
from asya.operator.rounds import Rounds
from asya.operator.settings import OperatorSettings, read_settings

CERTIFICATE_SECONDS = 10.0
"""How often the certificate's files are looked at: it is renewed while the operator runs."""


def run(settings: OperatorSettings) -> None:
    """Serve until a signal.

    Raises:
        AsyaError: It cannot start.
    """
    cluster = connect()
    url = settings.orphans.management_url
    rounds = Rounds(
        cluster,
        platform=settings.namespace,
        deployment=settings.deployment,
        crew_config_map=settings.crew_config_map,
        crew_namespace=settings.crew_namespace,
        broker=Broker(url, settings.orphans.vhost) if url else None,
    )
    registry, framework = kopf.OperatorRegistry(), kopf.OperatorSettings()
    framework.posting.enabled = False
    framework.watching.server_timeout = 300
    framework.watching.client_timeout = 360
    if settings.webhook.address is not None:
        register_webhook(registry, cluster)
        host, port = settings.webhook.address
        framework.admission.server = kopf.WebhookServer(
            addr=host,
            port=port,
            certfile=str(settings.webhook.certificate),
            pkeyfile=str(settings.webhook.key),
            file_check_interval=CERTIFICATE_SECONDS,
        )
    worker = Worker(rounds, resync_seconds=settings.resync_seconds)
    register(registry, worker)
    health = None if settings.health_address is None else "http://{}:{}/healthz".format(*settings.health_address)
    kopf.run(
        registry=registry,
        settings=framework,
        clusterwide=True,
        standalone=True,
        liveness_endpoint=health,
        # Its own choice starts with the name of the user, and the user of a pod need not have one.
        identity=cast("Any", socket.gethostname()),
    )


def main() -> int:
    """Run the operator; return its exit code."""
    try:
        settings = read_settings()
        kopf.configure(
            debug=settings.log_level == "debug",
            quiet=settings.log_level in {"warning", "error"},
            log_format=kopf.LogFormat.JSON,
        )
        if settings.log_level != "debug":
            # It tells of every change of every actor.
            logging.getLogger("kopf.objects").setLevel(logging.WARNING)
        run(settings)
    except AsyaError as error:
        sys.stderr.write(f"asya-operator: {error}\n")
        return 1
    return 0
