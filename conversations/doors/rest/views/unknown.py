"""All other paths below `/api/v1`: not found, in the envelope."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from conversations.doors.rest.protocol.envelope import Resource
from conversations.doors.rest.protocol.refusals import Code, RestError


@extend_schema(exclude=True)
class Unknown(Resource):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        APIView.initial(self, request, *args, **kwargs)  # the key counts, names of fields do not
        self.get(request)  # before any method is looked up: the path is wrong, whatever it is

    def get(self, _request: Request) -> Response:
        raise RestError(Code.NOT_FOUND, "there is no such path")
