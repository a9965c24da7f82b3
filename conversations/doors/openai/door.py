"""Which paths of OpenAI's API are served?"""

from __future__ import annotations

from conversations.doors.lean.routes import Door, Route
from conversations.doors.openai import completions, model_list
from conversations.doors.openai.errors import OpenAIErrors
from conversations.doors.openai.request import PATHS
from scheduling.models import Api

DOOR = Door(
    routes=(
        Route("POST", PATHS[Api.CHAT], completions.chat, is_counted=True),
        Route("POST", PATHS[Api.COMPLETION], completions.completion, is_counted=True),
        Route("POST", PATHS[Api.EMBEDDING], completions.embedding, is_counted=True),
        Route("GET", "/v1/models", model_list.list_models, is_counted=True),
        Route("GET", "/v1/models/{model:path}", model_list.one_model),
    ),
    errors=OpenAIErrors(),
    prefixes=("/v1/",),
)
