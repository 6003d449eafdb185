"""Talking to AWS from the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from email import message_from_bytes
from email.message import Message as MIMEMessage
from typing import Any

from vine import ensure_promise, promise

from ...exceptions import HttpError
from ...log import get_logger
from ..http import Request, get_client
from .ext import get_cert_path, get_response, prepared_request

__all__ = (
    "AsyncAWSQueryConnection",
    "AsyncConnection",
    "AsyncHTTPResponse",
    "AsyncHTTPSConnection",
)

logger = get_logger(__name__)


def message_from_headers(hdr: Iterable[tuple[str, str]]) -> MIMEMessage:
    """Pairs of name and value as an :class:`email.message.Message`."""
    return message_from_bytes("\r\n".join(f"{k}: {v}" for k, v in hdr).encode() + b"\r\n\r\n")


class AsyncHTTPResponse:
    """A response, as :mod:`http.client` shows it.

    Arguments:
        response: :class:`kombu.asynchronous.http.Response`.
    """

    def __init__(self, response: Any) -> None:
        self.response = response

    def read(self, *args: Any, **kwargs: Any) -> bytes | None:
        """The whole body."""
        body: bytes | None = self.response.body
        return body

    def getheader(self, name: str, default: Any = None) -> Any:
        """One header; the case of its name does not matter."""
        for known, value in self.response.headers.items():
            if known.lower() == name.lower():
                return value
        return default

    def getheaders(self) -> list[tuple[str, str]]:
        """All headers."""
        return list(self.response.headers.items())

    @property
    def msg(self) -> MIMEMessage:
        """The headers as a message object."""
        return message_from_headers(self.getheaders())

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.response.code)

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return str(self.response.status)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.status} {self.reason}>"


class AsyncHTTPSConnection:
    """One request after the other, in the manner of :class:`http.client.HTTPSConnection`.

    Arguments:
        strict: taken for compatibility.
        timeout: seconds, for connecting and for the whole request.
        http_client: default: that of the process's event loop.
    """

    Request = Request
    Response = AsyncHTTPResponse

    method: str = "GET"
    path: str = "/"
    body: Any = None
    default_ports: Mapping[str, int] = {"http": 80, "https": 443}

    def __init__(self, strict: Any = None, timeout: float = 20.0, http_client: Any = None) -> None:
        self.strict = strict
        self.timeout = timeout
        self.headers: list[tuple[str, str]] = []
        self.http_client = http_client or get_client()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what to ask for; ``path`` is an absolute URL. Nothing is sent yet."""
        self.method, self.path = method, path
        if body is not None:
            self.body = body.encode("utf-8") if isinstance(body, str) else body
        if headers is not None:
            self.headers.extend(headers.items())

    def getrequest(self) -> Any:
        """What was said, as a request of the HTTP client."""
        return self.Request(
            self.path,
            method=self.method,
            headers=dict(self.headers),
            body=self.body,
            connect_timeout=self.timeout,
            request_timeout=self.timeout,
            validate_cert=True,
            ca_certs=get_cert_path(True) if get_cert_path is not None else None,
        )

    def getresponse(self, callback: Any = None) -> Any:
        """Send it; ``callback`` is called with an :class:`AsyncHTTPResponse`."""
        request = self.getrequest()
        request.then(promise(lambda response: self.Response(response), callback=callback))
        return self.http_client.add_request(request)

    def putrequest(self, method: str, path: str) -> None:
        """Begin a request."""
        self.method, self.path = method, path

    def putheader(self, header: str, value: str) -> None:
        """Add a header."""
        self.headers.append((header, value))

    def send(self, data: bytes | str) -> None:
        """Add to the body."""
        self.body = data if self.body is None else self.body + data

    def endheaders(self) -> None:
        """Nothing to do: headers go out with the request."""

    def connect(self) -> None:
        """Nothing to do: the client connects when it sends."""

    def close(self) -> None:
        """Nothing to do: the client keeps its connections."""

    def set_debuglevel(self, level: int) -> None:
        """Taken for compatibility."""


class AsyncConnection:
    """A boto3 client and the HTTP client that its requests go through.

    Arguments:
        sqs_connection: the boto3 client.
        http_client: default: that of the process's event loop.
    """

    def __init__(self, sqs_connection: Any, http_client: Any = None, **kwargs: Any) -> None:
        self.sqs_connection = sqs_connection
        self._http_client = http_client or get_client()

    def get_http_connection(self) -> AsyncHTTPSConnection:
        """A new request."""
        return AsyncHTTPSConnection(http_client=self._http_client)


class AsyncAWSQueryConnection(AsyncConnection):
    """Operations of an AWS API, signed and parsed by botocore, sent by the event loop.

    ``callback`` may be a promise: its ``on_error`` is given the exception. Without one an error
    is raised in the event loop.

    Arguments:
        sqs_connection: the boto3 client.
        http_client: default: that of the process's event loop.
        http_client_params: taken for compatibility.
    """

    STATUS_CODE_OK = 200
    STATUS_CODE_REQUEST_TIMEOUT = 408
    STATUS_CODE_NETWORK_CONNECT_TIMEOUT_ERROR = 599
    STATUS_CODE_INTERNAL_ERROR = 500
    STATUS_CODE_BAD_GATEWAY = 502
    STATUS_CODE_SERVICE_UNAVAILABLE_ERROR = 503
    STATUS_CODE_GATEWAY_TIMEOUT = 504
    STATUS_CODES_SERVER_ERRORS = (500, 502, 503)
    STATUS_CODES_TIMEOUT = (408, 599, 504)

    def __init__(
        self,
        sqs_connection: Any,
        http_client: Any = None,
        http_client_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sqs_connection, http_client, **kwargs)
        self.http_client_params = dict(http_client_params or {})

    def make_request(
        self,
        operation: str | None,
        params_: Mapping[str, Any] | None,
        path: str,
        verb: str,
        callback: Any = None,
        protocol_params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Send an operation; ``callback`` is called with an :class:`AsyncHTTPResponse`.

        Arguments:
            operation: the API's name for it.
            params_: as boto3's method for it takes them.
            path: the queue's URL, added to the parameters where the operation takes one.
            verb: taken for compatibility; botocore's model says which it is.
            protocol_params: more parameters; those under ``json`` are used.
        """
        if operation is None:
            raise ValueError("an AWS request needs an operation")
        params = {**(params_ or {}), **((protocol_params or {}).get("json") or {})}
        model = self._model(operation)
        members = model.input_shape.members if model.input_shape is not None else {}
        if "QueueUrl" in members and path not in ("", "/", None):
            params.setdefault("QueueUrl", path)
        prepared = prepared_request(self.sqs_connection, operation, params)
        connection = self.get_http_connection()
        # A long poll is answered after its wait time: the answer then still has to arrive.
        connection.timeout += float(params.get("WaitTimeSeconds") or 0)
        connection.request(
            prepared.method,
            prepared.url,
            body=prepared.body,
            headers={name: _text(value) for name, value in prepared.headers.items()},
        )
        return connection.getresponse(callback=callback)

    def get_list(
        self,
        operation: str,
        params: Mapping[str, Any] | None,
        markers: Any,
        path: str = "/",
        parent: Any = None,
        verb: str = "POST",
        callback: Any = None,
        protocol_params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Send an operation; the callback gets its result, or ``[]`` when the server is at fault.

        Server errors and timeouts are logged: a reader asks again anyhow.
        """
        return self._send(
            operation,
            params,
            path,
            verb,
            callback,
            protocol_params,
            lambda response: self._result(operation, response, lenient=True),
        )

    def get_object(
        self,
        operation: str,
        params: Mapping[str, Any] | None,
        path: str = "/",
        parent: Any = None,
        verb: str = "GET",
        callback: Any = None,
        protocol_params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Send an operation; the callback gets its result as a dict."""
        return self._send(
            operation,
            params,
            path,
            verb,
            callback,
            protocol_params,
            lambda response: self._result(operation, response),
        )

    def get_status(
        self,
        operation: str,
        params: Mapping[str, Any] | None,
        path: str = "/",
        parent: Any = None,
        verb: str = "GET",
        callback: Any = None,
        protocol_params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Send an operation; the callback gets the HTTP status of its success."""
        return self._send(
            operation,
            params,
            path,
            verb,
            callback,
            protocol_params,
            lambda response: self._status(operation, response),
        )

    def _send(
        self,
        operation: str,
        params: Mapping[str, Any] | None,
        path: str,
        verb: str,
        callback: Any,
        protocol_params: Mapping[str, Mapping[str, Any]] | None,
        read: Callable[[AsyncHTTPResponse], Any],
    ) -> Any:
        done = ensure_promise(callback)

        def on_response(response: AsyncHTTPResponse) -> None:
            try:
                result = read(response)
            except Exception as exc:  # noqa: BLE001 - the requester decides
                done.throw(exc)
            else:
                done(result)

        self.make_request(operation, params, path, verb, on_response, protocol_params)
        return done

    def _model(self, operation: str) -> Any:
        return self.sqs_connection.meta.service_model.operation_model(operation)

    def _result(self, operation: str, response: AsyncHTTPResponse, lenient: bool = False) -> Any:
        if response.status == self.STATUS_CODE_OK:
            return get_response(self._model(operation), response.response)[1]
        retriable = self.STATUS_CODES_SERVER_ERRORS + self.STATUS_CODES_TIMEOUT
        error = self._error(operation, response)
        if lenient and response.status in retriable:
            logger.warning("%s", error)
            return []
        raise error from response.response.error

    def _status(self, operation: str, response: AsyncHTTPResponse) -> int:
        if response.status != self.STATUS_CODE_OK:
            raise self._error(operation, response) from response.response.error
        return response.status

    def _error(self, operation: str, response: AsyncHTTPResponse) -> HttpError:
        """An error that says what AWS says, without what was sent."""
        if response.status == self.STATUS_CODE_NETWORK_CONNECT_TIMEOUT_ERROR:
            reason = str(response.response.error)
        else:
            body = response.read() or b""
            reason = f"{response.reason} {body[:1000].decode('utf-8', 'replace')}".strip()
        return HttpError(response.status, f"{operation}: {reason}", response.response)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else value
