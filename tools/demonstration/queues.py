"""Where the queues of the demonstration are, and the server that holds them where the transport needs one.

How servers are started is known in tests/support alone. Here is which variables lead `asya up` to them: no more than
what a user would set for a server of their own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from demonstration.mesh import DemoError, Queues

PROJECT = "demo"


@contextmanager
def queues(transport: str, environ: Mapping[str, str]) -> Iterator[Queues]:
    """Have the server of a transport running on loopback, and tell how to reach it.

    The variables of the tests apply: ASYA_TEST_RABBITMQ_URL, …_REDIS_URL and …_PUBSUB_ENDPOINT name a server that runs
    already, ASYA_TEST_INSTALL=1 (or CI=true) lets Debian's be installed by apt-get.

    Raises:
        DemoError: There is no such server here, or it did not start; the text says what to do.
    """
    with ExitStack() as stack:
        yield Queues(transport=transport, variables=stack.enter_context(_SERVERS[transport](environ)))


@contextmanager
def _rabbitmq(environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    from tests.support import rabbitmq
    from tests.support.host import NotInstalledError

    with ExitStack() as stack:
        url = environ.get("ASYA_TEST_RABBITMQ_URL")
        if url is None:
            try:
                rabbitmq.ensure_installed(environ)
                url = stack.enter_context(rabbitmq.Broker()).url
            except (NotInstalledError, rabbitmq.NotStartedError) as error:
                raise DemoError(str(error)) from error
        yield {"ASYA_RABBITMQ_URL": url}


@contextmanager
def _redis(environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    from tests.support import redis
    from tests.support.host import NotInstalledError

    with ExitStack() as stack:
        url = environ.get(redis.GIVEN)
        if url is None:
            try:
                redis.ensure_installed(environ)
                url = stack.enter_context(redis.Server()).url
            except (NotInstalledError, AssertionError) as error:
                raise DemoError(str(error)) from error
        yield {"ASYA_REDIS_URL": url}


@contextmanager
def _sqs(_: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    if importlib.util.find_spec("moto") is None:
        raise DemoError("moto, which plays SQS here, is not in .venv; `make setup` brings it")
    from tests.support.moto_server import ENVIRONMENT, MotoServer

    with ExitStack() as stack:
        try:
            server = stack.enter_context(MotoServer())
        except AssertionError as error:
            raise DemoError(f"moto did not start: {error}") from error
        yield {
            "ASYA_AWS_REGION": server.region,
            "ASYA_SQS_ACCOUNT_ID": server.account,
            "ASYA_SQS_ENDPOINT": server.url,
            **ENVIRONMENT,
        }


@contextmanager
def _pubsub(environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    from tests.support import pubsub

    with ExitStack() as stack:
        try:
            endpoint = stack.enter_context(pubsub.running(environ))
        except (pubsub.EmulatorUnavailableError, AssertionError) as error:
            raise DemoError(str(error)) from error
        yield {"ASYA_PUBSUB_PROJECT_ID": PROJECT, "ASYA_PUBSUB_ENDPOINT": endpoint}


def _sqlite(_: Mapping[str, str]) -> AbstractContextManager[Mapping[str, str]]:
    # A file in the state folder.
    return nullcontext({})


_SERVERS = {"sqlite": _sqlite, "rabbitmq": _rabbitmq, "sqs": _sqs, "pubsub": _pubsub, "redis": _redis}
TRANSPORTS = tuple(_SERVERS)
