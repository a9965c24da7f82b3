"""What do all answers of `/api/v1` have around them? The envelope, and the base of all views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from conversations.access.keys import Caller
from conversations.doors.rest.protocol import names
from conversations.doors.rest.protocol.refusals import Code, RestError


def timestamp() -> str:
    return timezone.now().isoformat().replace("+00:00", "Z")


def success(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`data` in the envelope; its `code` equals the HTTP status."""
    envelope = {"code": status, "message": "success", "data": data, "timestamp": timestamp()}
    return Response(envelope, status=status, headers=headers)


class OnlyJSON(BaseContentNegotiation):
    """Bodies and answers are JSON, whatever the headers say: curl sends the type of a form."""

    def select_parser(self, _request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self,
        _request: Request,
        renderers: Iterable[BaseRenderer],
        _format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


_NONE: frozenset[str] = frozenset()
_WITHOUT_BODY = frozenset({"GET", "DELETE"})  # what is sent with them means nothing


class Resource(APIView):
    """A resource of `/api/v1`.

    Attributes:
        body_fields: by method, the fields that it takes; all others are refused.
        query_fields: by method, the parameters of the query string that it takes.
    """

    content_negotiation_class = OnlyJSON
    body_fields: ClassVar[dict[str, frozenset[str]]] = {}
    query_fields: ClassVar[dict[str, frozenset[str]]] = {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        # Without Content-Length (chunked) or Content-Type, DRF would see no body.
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            request.META.setdefault("CONTENT_LENGTH", "-1")
        request.META["CONTENT_TYPE"] = request.META.get("CONTENT_TYPE") or "application/json"
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS" or not hasattr(self, method.lower()):
            return  # it is answered, or refused, without being read
        names.check(request.query_params, self.query_fields.get(method, _NONE), "parameter")
        if method not in _WITHOUT_BODY:
            names.check(request.data or (), self.body_fields.get(method, _NONE), "field")

    def options(self, request: HttpRequest, *_: Any, **__: Any) -> Response:
        """The methods that it takes; the header `Allow` has them, too."""
        return success({"methods": self.allowed_methods})

    @property
    def caller(self) -> Caller:
        caller = self.request.auth
        assert isinstance(caller, Caller)  # noqa: S101 - HasApiKey let the request pass
        return caller

    @property
    def document(self) -> dict[str, Any]:
        """The request's JSON object.

        Raises:
            RestError: there is none.
        """
        body = self.request.data
        if not isinstance(body, dict) or self.request.stream is None:
            raise RestError(Code.MALFORMED_BODY, "the body is empty: send a JSON object")
        return dict(body)

    @property
    def request_id(self) -> str:
        return str(self.request.META.get("llmqueue.request_id", ""))
