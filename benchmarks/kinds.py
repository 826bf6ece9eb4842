"""Who takes part: ours, the raw loop, a bare aio-pika loop, and four frameworks, each as its documentation advises."""

from __future__ import annotations

from dataclasses import dataclass

OURS, RAW, RAW_JSON, LOOP = "asya", "raw loop", "raw loop, json", "aio-pika"
BOTO3, CELERY, GOOGLE = "boto3 loop", "Celery", "google-cloud-pubsub"
PREFETCH = 100


@dataclass(frozen=True)
class Kind:
    """One kind of worker.

    `variants` are ways to set it up; where it is unclear which is fastest, a trial before the first round decides, else
    the first one counts. `how` is told beside the table.
    """

    name: str
    script: str | None
    how: str
    variants: tuple[str, ...] = ("",)
    confirms: bool = True


FRAMEWORKS = (
    Kind(
        "FastStream",
        "faststream_hop",
        "asyncio on uvloop, as many handlers at once as prefetched; acknowledges after processing",
        ("unchecked", "checked"),
    ),
    Kind(
        "Dramatiq",
        "dramatiq_hop",
        "one process, confirm_delivery, default middleware; quorum queues by a subclass, as it declares classic ones",
        ("8 threads", "100 greenlets"),
    ),
    Kind("Taskiq", "taskiq_hop", "taskiq-aio-pika, one worker process on uvloop, 100 tasks at once, when_executed"),
    Kind(
        "Celery",
        "celery_hop",
        "acks_late, confirm_publish, no results, events, gossip, mingle or heartbeat",
        ("threads 8", "solo"),
    ),
)
KINDS = (
    Kind(OURS, None, "one pod: sidecar and runtime, every feature on"),
    Kind(
        RAW,
        "raw_hop",
        "one process, asyncio.Protocol on uvloop, msgspec; no features at all; moves the same messages as ours",
    ),
    Kind(
        RAW_JSON,
        "raw_hop",
        "the same with the standard library's json, as it is written without other libraries; the goals speak of it",
        ("json",),
    ),
    Kind(
        LOOP,
        "aiopika_hop",
        "one process on uvloop, msgspec; a consumer callback, confirms; moves the same messages as ours",
    ),
    *FRAMEWORKS,
)
_OUR_POD = KINDS[0]
SQS_KINDS = (
    _OUR_POD,
    Kind(BOTO3, "boto3_hop", "one process: long polls for ten, results and deletions in batches of ten; our messages"),
    Kind(
        CELERY,
        "celery_sqs_hop",
        "on SQS: kombu's transport, predefined queues, acks_late, no results, events, gossip, mingle or heartbeat",
        ("solo", "threads 8"),
    ),
)
PUBSUB_KINDS = (
    _OUR_POD,
    Kind(
        GOOGLE,
        "google_hop",
        "its subscriber's callback publishes by its publisher, and acknowledges what is confirmed; our messages",
    ),
)
EVERYBODY = (*KINDS, *SQS_KINDS[1:], *PUBSUB_KINDS[1:])
BY_NAME = {kind.name: kind for kind in KINDS}
NAMES = tuple(kind.name for kind in FRAMEWORKS)


def rotated(kinds: tuple[Kind, ...], number: int) -> tuple[Kind, ...]:
    """Return them in another order for each round, so that nobody always comes first or after the same one."""
    turn = number % len(kinds)
    order = kinds[turn:] + kinds[:turn]
    return order if number // len(kinds) % 2 == 0 else order[::-1]
