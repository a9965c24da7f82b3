"""Who calls `/api/v1`, and what may they do? The API key of the request."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from conversations.access import keys
from conversations.access.keys import Caller


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>` or `X-API-Key: <key>`; `request.auth` is the Caller."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        headers = request.headers
        presented = keys.presented_key(
            headers.get("Authorization", ""), headers.get("X-API-Key", "")
        )
        if not presented:
            return None
        caller = keys.authenticate(presented)
        if caller is None:
            raise AuthenticationFailed("the API key is unknown, revoked or expired")
        return caller, caller

    def authenticate_header(self, _request: Request) -> str:
        return "Bearer"


class HasApiKey(BasePermission):
    def has_permission(self, request: Request, _view: Any) -> bool:
        return isinstance(request.auth, Caller)


class IsOperator(HasApiKey):
    """A key of scope `operator`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        if isinstance(request.auth, Caller) and not request.auth.operator:
            raise PermissionDenied("only a key of scope operator may do that")
        return True
