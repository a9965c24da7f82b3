"""Requests for Google's Gemini API. For its answers see gemini_answers.py.

Source: ai.google.dev/api/generate-content, .../embeddings. Thought signatures and
`reasoning_effort` are treated as in Google's own OpenAI layer
(ai.google.dev/gemini-api/docs/openai). What else is mended is listed in docs/providers.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import orjson

from balancing.endpoints.target import Target
from balancing.kinds import gemini_answers as answers
from balancing.kinds import prompt, shape
from balancing.kinds.call import Call
from balancing.kinds.contract import Outgoing
from balancing.kinds.history import (
    ASSISTANT,
    NO_RESULT,
    Thought,
    ToolCall,
    ToolResult,
    Turn,
    system_of,
    turns_of,
)
from balancing.kinds.prompt import Media, Text
from balancing.kinds.shape import Json

NAME = "Gemini"
# OpenAI's field -> the field of generationConfig with the same meaning.
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "n": "candidateCount",
}
# Gemini's seed has 32 bits.
_SEEDS = 2**31
_PENALTIES = {"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty"}
# Fields of Gemini that clients may send beside OpenAI's.
_NATIVE = {"safety_settings": "safetySettings", "cached_content": "cachedContent"}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEVELS = {"none": "minimal", "xhigh": "high"}
# A pro model always thinks.
_LEAST_BUDGET_OF_PRO, _LEAST_LEVEL_OF_PRO = 128, "low"
_THOUGHTLESS = ("gemini-1", "gemini-2.0")
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
# What gives an object of a JSON schema something to hold.
_SHAPING = ("properties", "patternProperties", "$ref", "anyOf", "oneOf", "allOf")
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
    turns = turns_of(messages, NAME)
    asked: Json = {"contents": [_content(turn, model) for turn in turns]}
    if system := [_part(part) for part in system_of(messages)]:
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


def _content(turn: Turn, model: str) -> Json:
    said = [_item(item, model) for item in turn.items if not isinstance(item, Thought)]
    answers = [part for result in turn.results for part in _function_response(result)]
    return {"role": "model" if turn.role == ASSISTANT else "user", "parts": answers + said}


def _item(item: Text | Media | ToolCall, model: str) -> Json:
    return _function_call(item, model) if isinstance(item, ToolCall) else _part(item)


def _part(part: Text | Media) -> Json:
    if isinstance(part, Text):
        return {"text": part.text}
    if part.url:
        raise shape.unsupported(f"{NAME} takes images and files as data URLs only", "messages")
    if part.type.startswith("image/") or not part.type:
        prompt.require_type(part, IMAGE_TYPES, NAME)
    return {"inlineData": {"mimeType": part.type, "data": part.data}}


def _function_call(call: ToolCall, model: str) -> Json:
    part: Json = {"functionCall": {"name": call.name, "args": call.arguments}}
    signature = (call.extra.get("google") or {}).get("thought_signature")
    if signature:
        part["thoughtSignature"] = signature
    elif call.is_first and model.startswith("gemini-3"):
        part["thoughtSignature"] = _FOREIGN
    return part


def _function_response(result: ToolResult) -> Sequence[Json]:
    """The result as an object, and its images beside it."""
    text = "".join(part.text for part in result.parts if isinstance(part, Text))
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = NO_RESULT if result.is_missing else text
    response = found if isinstance(found, dict) else {"result": found}
    media = [_part(part) for part in result.parts if isinstance(part, Media)]
    return [{"functionResponse": {"name": result.call.name, "response": response}}, *media]


def _generation_config(body: Json, model: str) -> Json:
    config: Json = {
        theirs: body[ours] for ours, theirs in _SAMPLING.items() if body.get(ours) is not None
    }
    if (seed := body.get("seed")) is not None:
        config["seed"] = seed % _SEEDS
    config |= _penalties(body, model)
    if body.get("logprobs"):
        # Without it, their number is refused.
        config |= {"responseLogprobs": True}
        config |= {"logprobs": count} if (count := body.get("top_logprobs")) is not None else {}
    if top_k := shape.above_zero(body, "top_k"):
        config["topK"] = top_k
    if limit := shape.limit(body):
        config["maxOutputTokens"] = limit
    if stops := shape.stops(body):
        config["stopSequences"] = stops
    if (schema := shape.schema_of(body, NAME)) is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
    elif (body.get("response_format") or {}).get("type") == "json_object":
        config["responseMimeType"] = "application/json"
    effort = body.get("reasoning_effort")
    if effort and not model.startswith(_THOUGHTLESS):
        config["thinkingConfig"] = _thinking(effort, model)
    return config


def _penalties(body: Json, model: str) -> Json:
    """Penalties other than 0, for models that have them: 2.0, and 1.5 in its second version.

    Others refuse them: "Penalty is not enabled for this model" (google-gemini/cookbook#1290,
    SillyTavern#3015).
    """
    has_none = model.startswith("gemini-") and not model.startswith("gemini-2.0")
    if has_none and not model.endswith("-002"):
        return {}
    return {theirs: body[ours] for ours, theirs in _PENALTIES.items() if body.get(ours)}


def _thinking(effort: str, model: str) -> Json:
    if effort not in _BUDGETS:
        raise shape.unsupported(f"{NAME} knows no such effort", "reasoning_effort")
    is_pro = "-pro" in model
    if model.startswith("gemini-2"):
        least = _LEAST_BUDGET_OF_PRO if is_pro else 0
        return {"thinkingBudget": max(_BUDGETS[effort], least)}
    level = _LEVELS.get(effort, effort)
    return {"thinkingLevel": _LEAST_LEVEL_OF_PRO if is_pro and level == "minimal" else level}


def _tools(body: Json) -> Json:
    declared = [_declaration(function) for function in prompt.functions(body)]
    if not declared:
        return {}
    asked: Json = {"tools": [{"functionDeclarations": declared}]}
    if choice := prompt.tool_choice(body, NAME):
        asked["toolConfig"] = {"functionCallingConfig": _calling(*choice)}
    return asked


def _declaration(function: Json) -> Json:
    declared = {"name": function["name"], "description": function.get("description") or ""}
    parameters = function.get("parameters") or {}
    # An object without properties is refused; without parameters it means the same.
    if parameters.get("type", "object") != "object" or any(parameters.get(n) for n in _SHAPING):
        declared["parametersJsonSchema"] = parameters
    return declared


def _calling(mode: str, name: str) -> Json:
    if mode == "tool":
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    return {"mode": _MODES[mode]}
