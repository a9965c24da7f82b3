"""`/config`: the effective configuration, secrets masked; operators only."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.doors.rest.openapi import shapes
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from llmqueue_project.config import configuration


class EffectiveConfig(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="get_config",
        responses={200: shapes.enveloped(shapes.ANYTHING, "Config"), **shapes.REFUSALS},
    )
    def get(self, _request: Request) -> Response:
        """What this process runs with. Secrets are stars."""
        return success(configuration().model_dump(mode="json"))
