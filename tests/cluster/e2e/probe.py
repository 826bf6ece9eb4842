"""Runs in a pod: reads two queues with the role of the pod's service account, and says how that went.

The words: URL of moto, region, then URLs of queues. One line of JSON for each queue.
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError

endpoint, region, *queues = sys.argv[1:]
client = boto3.client("sqs", endpoint_url=endpoint, region_name=region)
for queue in queues:
    found: dict[str, object] = {"queue": queue.rpartition("/")[2]}
    try:
        answer = client.receive_message(QueueUrl=queue, WaitTimeSeconds=0)
        found["read"] = [message["Body"] for message in answer.get("Messages", ())]
    except ClientError as error:
        found["refused"] = error.response["Error"]["Code"]
    print(json.dumps(found))
