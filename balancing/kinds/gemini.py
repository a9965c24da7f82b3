"""Requests for Google's Gemini API. For its answers see gemini_answers.py.

Source: ai.google.dev/api/generate-content, .../embeddings. Thought signatures and
`reasoning_effort` are treated as in Google's own OpenAI layer
(ai.google.dev/gemini-api/docs/openai).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from balancing.endpoints.target import Target
from balancing.kinds import gemini_answers as answers
from balancing.kinds import prompt, shape
from balancing.kinds.call import Call
from balancing.kinds.contract import Outgoing
from balancing.kinds.prompt import SYSTEM_ROLES, Media, Text
from balancing.kinds.shape import Json

NAME = "Gemini"
# OpenAI's field -> the field of generationConfig with the same meaning.
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
# Fields of Gemini that clients may send beside OpenAI's.
_NATIVE = {"safety_settings": "safetySettings", "cached_content": "cachedContent"}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
# Gemini 3 refuses tool calls that it did not make, unless they carry this signature.
_FOREIGN = "skip_thought_signature_validator"


class Gemini:
    passes_through = False

    def request(self, target: Target, call: Call, credential: str) -> Outgoing:
        body = orjson.loads(call.body)
        model = body["model"].removeprefix("models/")
        address = f"{target.base_url}/models/{quote(model, safe='')}"
        headers = {"Content-Type": "application/json", **_presenting(credential)}
        if call.api == "embedding":
            asked = embedding_body(body, model)
            return Outgoing(f"{address}:batchEmbedContents", headers, orjson.dumps(asked))
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        return Outgoing(f"{address}:{method}", headers, orjson.dumps(request_body(body, model)))

    def translator(self) -> answers.GeminiStream:
        return answers.GeminiStream()

    def whole(self, answer: Json, call: Call) -> Json:
        if call.api == "embedding":
            return answers.embeddings(answer, orjson.loads(call.body))
        return shape.whole(answers.chunks_of(answer))

    def listing(self, target: Target, credential: str) -> Outgoing:
        return Outgoing(f"{target.base_url}/models?pageSize=1000", _presenting(credential))

    def listed(self, answer: Json) -> list[str]:
        return [str(model["name"]).removeprefix("models/") for model in answer["models"]]


def _presenting(credential: str) -> dict[str, str]:
    return {"x-goog-api-key": credential} if credential else {}


def request_body(body: Json, model: str) -> Json:
    """OpenAI's chat request as a request of generateContent.

    Raises:
        Refused: it asks for something that Gemini does not have.
    """
    messages = body["messages"]
    asked: Json = {"contents": _contents(messages, model)}
    if system := _system(messages):
        asked["systemInstruction"] = {"parts": system}
    if config := _generation_config(body, model):
        asked["generationConfig"] = config
    asked |= {theirs: body[ours] for ours, theirs in _NATIVE.items() if ours in body}
    return asked | _tools(body)


def embedding_body(body: Json, model: str) -> Json:
    texts = body["input"]
    texts = [texts] if isinstance(texts, str) else texts
    if not all(isinstance(text, str) for text in texts):
        raise shape.unsupported(f"{NAME} takes text, not tokens", "input")
    size = body.get("dimensions")
    wanted = {"outputDimensionality": size} if size else {}
    name = f"models/{model}"
    return {
        "requests": [
            {"model": name, "content": {"parts": [{"text": text}]}, **wanted} for text in texts
        ]
    }


def _system(messages: list[Json]) -> list[Json]:
    return [
        _part(part)
        for place, message in enumerate(messages)
        if message["role"] in SYSTEM_ROLES
        for part in prompt.parts(message.get("content"), f"messages[{place}].content")
    ]


def _contents(messages: list[Json], model: str) -> list[Json]:
    """The turns. Neighbours of one role are joined: one turn answers all tool calls of another."""
    names = {
        call["id"]: call["function"]["name"]
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    turns: list[Json] = []
    for place, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            continue
        role, parts = _turn(message, f"messages[{place}].content", names, model)
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": role, "parts": parts})
    return turns


def _turn(message: Json, param: str, names: dict[str, str], model: str) -> tuple[str, list[Json]]:
    content = message.get("content")
    match message["role"]:
        case "user":
            return "user", [_part(part) for part in prompt.parts(content, param)]
        case "assistant":
            said = [_part(part) for part in prompt.parts(content, param)]
            calls = message.get("tool_calls") or ()
            return "model", said + [
                _function_call(call, model, first=place == 0) for place, call in enumerate(calls)
            ]
        case "tool":
            return "user", [_function_response(message, param, names)]
    raise shape.unsupported(f"{NAME} knows no role {message['role']!r}", "messages")


def _part(part: Text | Media) -> Json:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.url:
        raise shape.unsupported(f"{NAME} takes images and files as data URLs only", "messages")
    return {"inlineData": {"mimeType": part.type, "data": part.data}}


def _function_call(call: Json, model: str, *, first: bool) -> Json:
    part: Json = {
        "functionCall": {"name": call["function"]["name"], "args": prompt.arguments_of(call)}
    }
    signature = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
    if signature:
        part["thoughtSignature"] = signature
    elif first and model.startswith("gemini-3"):
        part["thoughtSignature"] = _FOREIGN
    return part


def _function_response(message: Json, param: str, names: dict[str, str]) -> Json:
    name = names.get(message["tool_call_id"])
    if name is None:
        raise shape.unsupported("a tool's result must follow the call that it answers", param)
    text = prompt.text_of(message.get("content"), param)
    try:
        result = orjson.loads(text)
    except orjson.JSONDecodeError:
        result = text
    response = result if isinstance(result, dict) else {"result": result}
    return {"functionResponse": {"name": name, "response": response}}


def _generation_config(body: Json, model: str) -> Json:
    config: Json = {
        theirs: body[ours] for ours, theirs in _SAMPLING.items() if body.get(ours) is not None
    }
    if limit := shape.limit(body):
        config["maxOutputTokens"] = limit
    if stops := shape.stops(body):
        config["stopSequences"] = stops
    if (schema := shape.schema_of(body, NAME)) is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
    elif (body.get("response_format") or {}).get("type") == "json_object":
        config["responseMimeType"] = "application/json"
    if effort := body.get("reasoning_effort"):
        config["thinkingConfig"] = _thinking(effort, model)
    return config


def _thinking(effort: str, model: str) -> Json:
    if effort not in _BUDGETS:
        raise shape.unsupported(f"{NAME} knows no such effort", "reasoning_effort")
    if model.startswith("gemini-2"):
        return {"thinkingBudget": _BUDGETS[effort]}
    return {"thinkingLevel": "minimal" if effort == "none" else effort}


def _tools(body: Json) -> Json:
    declared = [_declaration(function) for function in prompt.functions(body)]
    if not declared:
        return {}
    asked: Json = {"tools": [{"functionDeclarations": declared}]}
    if (choice := body.get("tool_choice")) is not None:
        asked["toolConfig"] = {"functionCallingConfig": _calling(choice)}
    return asked


def _declaration(function: Json) -> Json:
    declared = {"name": function["name"], "description": function.get("description") or ""}
    if function.get("parameters"):
        declared["parametersJsonSchema"] = function["parameters"]
    return declared


def _calling(choice: Any) -> Json:
    match choice:
        case "auto" | "none" | "required":
            return {"mode": _MODES[choice]}
        case {"type": "function", "function": {"name": name}}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}
    raise shape.unsupported(f"{NAME} has no such choice of tools", "tool_choice")
