"""What ``transport_options`` an SQS connection takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kombu.transport.options import boolean, option, seconds
from kombu.transport.virtual.settings import VirtualOptions

Definitions = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class SQSOptions(VirtualOptions):
    """Names and defaults as published, and below them those that are ours."""

    region: str = option("us-east-1", "AWS region")
    regioninfo: Any = option(None, "object whose name is the region (boto 2 style)")
    is_secure: bool | None = option(
        None, "https; None: https, but http when the URL names a host", parse=boolean
    )
    endpoint_url: str | None = option(None, "service endpoint instead of the region's own")
    port: int | None = option(None, "port of the endpoint", parse=int)
    visibility_timeout: float | None = option(
        None, "seconds of a lease, and of new queues (those: 1800 by default)", parse=seconds
    )
    wait_time_seconds: int = option(10, "seconds of one long poll, 0 to 20", parse=int)
    queue_name_prefix: str = option("", "put before every queue's name")
    sqs_base64_encoding: bool = option(
        True, "write messages as base64 of their JSON; both forms are read", parse=boolean
    )
    supports_fanout: bool = option(False, "fanout exchanges are SNS topics", parse=boolean)
    sqs_creation_attributes: Mapping[str, Any] = option(
        name="sqs-creation-attributes", doc="further attributes of new queues", factory=dict
    )
    queue_tags: Mapping[str, str] = option(doc="tags of new queues", factory=dict)
    client_config: Mapping[str, Any] = option(
        name="client-config", doc="passed to botocore.config.Config", factory=dict
    )
    fetch_message_attributes: Any = option(
        None, "attributes to receive: a list, or MessageSystemAttributeNames/MessageAttributeNames"
    )
    predefined_queues: Definitions = option(
        doc="name -> url, access_key_id, secret_access_key, region, backoff_policy, ...",
        factory=dict,
    )
    predefined_exchanges: Definitions = option(doc="name -> arn of its SNS topic", factory=dict)
    sts_role_arn: str | None = option(None, "role to assume")
    sts_token_timeout: int = option(900, "seconds an assumed role's token is good for", parse=int)
    sts_token_buffer_time: int = option(
        0, "seconds before its end at which a token is renewed", parse=int
    )

    lease: float | None = option(
        None,
        "seconds a dead consumer's messages are held back; None: visibility_timeout, else 60",
        parse=seconds,
    )

    @property
    def lease_seconds(self) -> float:
        return self.lease or self.visibility_timeout or 60.0

    @property
    def region_name(self) -> str:
        return str(getattr(self.regioninfo, "name", None) or self.region)
