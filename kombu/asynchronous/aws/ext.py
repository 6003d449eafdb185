"""What is used of botocore, which is optional (``pip install 'kombu[sqs]'``)."""

from __future__ import annotations

from typing import Any

try:
    import boto3
    from botocore import exceptions
    from botocore.awsrequest import (
        AWSRequest,
        HeadersDict,
        create_request_object,
        prepare_request_dict,
    )
    from botocore.endpoint import convert_to_response_dict
    from botocore.httpsession import get_cert_path
    from botocore.parsers import create_parser
    from botocore.serialize import create_serializer
except ImportError:  # pragma: no cover - tested in a process without boto3
    boto3 = exceptions = None
    AWSRequest = HeadersDict = create_request_object = prepare_request_dict = None
    convert_to_response_dict = get_cert_path = create_parser = create_serializer = None

__all__ = ("AWSRequest", "boto3", "exceptions", "get_cert_path", "get_response")


def require_boto3() -> None:
    """Raise an ImportError that says what to install when botocore is not there."""
    if boto3 is None:
        raise ImportError("SQS needs boto3: pip install 'kombu[sqs]'")


def protocol_of(operation_model: Any) -> str:
    """``json`` or ``query``: how the service that has this operation is spoken to."""
    service = operation_model.service_model
    return str(getattr(service, "resolved_protocol", None) or service.metadata["protocol"])


def prepared_request(client: Any, operation: str, params: dict[str, Any]) -> Any:
    """An operation as a signed HTTP request with ``url``, ``method``, ``headers`` and ``body``.

    Arguments:
        client: a boto3 client; its endpoint and credentials are used.
        operation: the API's name for it, ``ReceiveMessage``.
        params: as the client's own method for it takes them.

    Raises:
        botocore.exceptions.ParamValidationError: a parameter has the wrong type or is missing.
        botocore.exceptions.NoCredentialsError: nothing to sign with.
    """
    require_boto3()
    model = client.meta.service_model.operation_model(operation)
    serialized = create_serializer(protocol_of(model)).serialize_to_request(params, model)
    prepare_request_dict(serialized, endpoint_url=client.meta.endpoint_url)
    request = create_request_object(serialized)
    # botocore has no public way to sign without sending.
    client._request_signer.sign(operation, request)
    return request.prepare()


def get_response(operation_model: Any, http_response: Any) -> tuple[Any, dict[str, Any]]:
    """Parse an HTTP response.

    Returns:
        the response and what the API's documentation calls its result; ``Error`` in it says
        what went wrong.
    """
    fields = convert_to_response_dict(_WithHeaders(http_response), operation_model)
    parser = create_parser(protocol_of(operation_model))
    return http_response, parser.parse(fields, operation_model.output_shape)


class _WithHeaders:
    """A response as botocore wants it: header names in any case, a body that is never None."""

    def __init__(self, response: Any) -> None:
        self.headers = HeadersDict(response.headers)
        self.status_code = response.status_code
        self.content = response.content or b""
