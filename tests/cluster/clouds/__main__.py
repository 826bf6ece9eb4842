"""`python -m tests.cluster.clouds`: the definitions of the cloud kinds, or clouds that carry such objects out."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sys
from dataclasses import asdict
from typing import Any

import httpx
from kubernetes import config
from tests.cluster.clouds import aws_kinds, google_kinds
from tests.cluster.clouds.aws_server import ACCOUNT, AwsServer
from tests.cluster.clouds.crds import as_yaml, definitions
from tests.cluster.clouds.fake_pod_identity import FakePodIdentity
from tests.cluster.clouds.fake_provider import FakeProvider
from tests.cluster.clouds.objects import Objects
from tests.cluster.clouds.web_identity import review_with
from tests.support.host import free_port
from tests.support.pubsub import Emulator


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says."""
    given = _parser().parse_args(arguments)
    if given.what == "crds":
        sys.stdout.write(as_yaml(definitions()))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    _run(given)
    return 0


def _run(given: argparse.Namespace) -> None:
    """Serve both clouds and carry objects out until SIGTERM or SIGINT."""
    connect: Any = config.new_client_from_config
    client = connect(given.kubeconfig)
    with contextlib.ExitStack() as stack:
        aws = stack.enter_context(AwsServer(given.region, host=given.host, port=given.aws_port))
        aws.web_identity.review = review_with(client)
        stack.enter_context(FakePodIdentity(client, aws.region, aws.endpoint, host=given.host))
        google: httpx.Client | None = None
        emulator = None
        if not given.no_pubsub:
            emulator = stack.enter_context(Emulator(host=given.host, port=given.pubsub_port or free_port()))
            google = stack.enter_context(emulator.client())
        aws.authorise()
        sqs, iam = (aws.client(name, aws.provider) for name in ("sqs", "iam"))
        services = {**aws_kinds.services(sqs, iam), **google_kinds.services(google)}
        provider = FakeProvider(Objects(client), services, interval=given.interval, poll=given.poll)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: provider.stop())
        where = {
            "account": ACCOUNT,
            "region": aws.region,
            "aws": aws.endpoint,
            "pubsub": None if emulator is None else emulator.endpoint,
            "administrator": asdict(aws.administrator),
        }
        print(json.dumps(where), flush=True)
        provider.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.clouds", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("crds", help="write the CustomResourceDefinitions as YAML")
    run = what.add_parser("run", help="serve moto and the emulator; write one line of JSON with their addresses")
    run.add_argument("--kubeconfig", required=True)
    run.add_argument("--host", default="127.0.0.1", help="address to listen at, one that pods reach")
    run.add_argument("--region", default="eu-central-1")
    run.add_argument("--aws-port", type=int, default=0, help="0 takes a free one")
    run.add_argument("--pubsub-port", type=int, default=0, help="0 takes a free one")
    run.add_argument("--no-pubsub", action="store_true", help="for machines without the emulator")
    run.add_argument("--interval", type=float, default=1.0, help="seconds between two lists of the objects")
    run.add_argument("--poll", type=float, default=10.0, help="seconds between two comparisons with the clouds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
