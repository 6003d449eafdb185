"""AWS services on the event loop."""

from __future__ import annotations

from typing import Any

from .ext import boto3, require_boto3
from .sqs.connection import AsyncSQSConnection

__all__ = ("connect_sqs",)


def connect_sqs(
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    **kwargs: Any,
) -> AsyncSQSConnection:
    """A connection to SQS.

    Arguments:
        aws_access_key_id, aws_secret_access_key: default: where boto3 finds them.
        **kwargs: ``region`` and what :class:`~.sqs.connection.AsyncSQSConnection` takes.

    Raises:
        ImportError: boto3 is not installed; says what to install.
    """
    require_boto3()
    client = boto3.client(
        "sqs",
        region_name=kwargs.get("region"),
        endpoint_url=kwargs.pop("endpoint_url", None),
        aws_access_key_id=aws_access_key_id,
        aws_secret_access_key=aws_secret_access_key,
    )
    return AsyncSQSConnection(client, **kwargs)
