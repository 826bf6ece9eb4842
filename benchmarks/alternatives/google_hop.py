"""Google's own subscriber and publisher: a callback that publishes, and acknowledges when that is confirmed."""

import json
import sys
from concurrent.futures import Future

import contract
from google.cloud import pubsub_v1


def hop(value: object) -> object:
    return value


def work() -> None:
    """Serve until SIGTERM ends the process: what is not acknowledged then comes again."""
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()

    def receive(message: pubsub_v1.subscriber.message.Message) -> None:
        def confirmed(done: Future) -> None:
            done.result()
            message.ack()

        result = json.dumps(hop(json.loads(message.data)), separators=(",", ":")).encode()
        publisher.publish(contract.TARGET, result).add_done_callback(confirmed)

    flow = pubsub_v1.types.FlowControl(max_messages=contract.PREFETCH)
    subscriber.subscribe(contract.SOURCE, receive, flow_control=flow).result()


if __name__ == "__main__":
    contract.describe(contract.plain(contract.payloads())) if sys.argv[1] == "describe" else work()
