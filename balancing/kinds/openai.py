"""OpenAI's API and Azure's variety of it: requests and answers pass unchanged.

Sources: platform.openai.com/docs/api-reference; learn.microsoft.com/azure/foundry/openai/reference
(dated versions) and .../api-version-lifecycle (v1).
"""

from __future__ import annotations

from urllib.parse import quote

import orjson

from balancing.apis import APIS
from balancing.endpoints.target import Target
from balancing.kinds.call import Call
from balancing.kinds.contract import Outgoing
from balancing.kinds.shape import Json


class OpenAI:
    """Any OpenAI-compatible server."""

    passes_through = True

    def request(self, target: Target, call: Call, credential: str) -> Outgoing:
        headers = {"Content-Type": "application/json", **self._presenting(credential)}
        return Outgoing(self._address(target, call), headers, call.body.encode())

    def _address(self, target: Target, call: Call) -> str:
        return target.base_url + APIS[call.api].path

    def _presenting(self, credential: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {credential}"} if credential else {}

    def translator(self) -> None:
        return None

    def whole(self, answer: Json, call: Call) -> Json:
        return answer

    def listing(self, target: Target, credential: str) -> Outgoing:
        return Outgoing(f"{target.base_url}/models", self._presenting(credential))

    def listed(self, answer: Json) -> list[str]:
        return [str(model["id"]) for model in answer["data"]]


class AzureOpenAI(OpenAI):
    """A resource of Azure OpenAI; its models are the names of deployments.

    Without `api_version` it is called through the v1 API, which takes the deployment as the model.
    With an `api_version` it is called through the dated API, whose path names the deployment.
    """

    def _address(self, target: Target, call: Call) -> str:
        path, version = APIS[call.api].path, target.access.api_version
        if not version:
            return f"{_resource(target)}/openai/v1{path}"
        deployment = quote(str(orjson.loads(call.body)["model"]), safe="")
        root = f"{_resource(target)}/openai/deployments/{deployment}"
        return f"{root}{path}?api-version={version}"

    def _presenting(self, credential: str) -> dict[str, str]:
        return {"api-key": credential} if credential else {}

    def listing(self, target: Target, credential: str) -> Outgoing:
        version = target.access.api_version
        path = f"/openai/models?api-version={version}" if version else "/openai/v1/models"
        return Outgoing(_resource(target) + path, self._presenting(credential))


def _resource(target: Target) -> str:
    """The URL of the resource, without the path that Azure's portal shows after it."""
    return target.base_url.removesuffix("/v1").removesuffix("/openai")
