"""A plain boto3 loop, as the SQS guide advises: long polls for ten, results and deletions in batches of ten."""

import json
import sys

import boto3
import contract


def entries(bodies: list) -> list:
    return [{"Id": str(number), **body} for number, body in enumerate(bodies)]


def complete(answer: dict) -> None:
    """Raise unless every entry of a batch was taken."""
    if failed := answer.get("Failed"):
        raise RuntimeError(f"SQS refused {failed}")


def hop(value: object) -> object:
    return value


def work() -> None:
    """Serve until SIGTERM ends the process: what is not deleted then comes again."""
    sqs = boto3.client("sqs", endpoint_url=contract.URL)
    source = sqs.get_queue_url(QueueName=contract.SOURCE)["QueueUrl"]
    target = sqs.get_queue_url(QueueName=contract.TARGET)["QueueUrl"]
    while True:
        found = sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages", [])
        if not found:
            continue
        results = [json.dumps(hop(json.loads(message["Body"])), separators=(",", ":")) for message in found]
        complete(sqs.send_message_batch(QueueUrl=target, Entries=entries([{"MessageBody": each} for each in results])))
        done = [{"ReceiptHandle": message["ReceiptHandle"]} for message in found]
        complete(sqs.delete_message_batch(QueueUrl=source, Entries=entries(done)))


if __name__ == "__main__":
    contract.describe(contract.plain(contract.payloads())) if sys.argv[1] == "describe" else work()
