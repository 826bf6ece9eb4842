"""Checkpoints as objects of an S3 bucket. The one module that imports boto3."""

from __future__ import annotations

import boto3
from botocore.config import Config

# A message waits for its checkpoint: an endpoint that is away must show as an error soon, not after boto3's minutes.
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})


class BucketStore:
    """Documents as objects below a prefix; the bucket must exist.

    Credentials, region and endpoint come from boto3's own chain (AWS_ENDPOINT_URL for a store that is not Amazon's).
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = boto3.client("s3", config=_CONFIG)

    def put(self, name: str, body: bytes) -> None:
        """Write an object; S3 has it on several machines when this returns.

        Raises:
            botocore.exceptions.ClientError: Refused: no such bucket, no permission.
            botocore.exceptions.BotoCoreError: Not reached.
        """
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body, ContentType="application/json")
