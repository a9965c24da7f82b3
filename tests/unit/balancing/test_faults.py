"""Whose fault a refusal is: the table, row by row, as providers answer."""

from __future__ import annotations

from typing import Any

import pytest

from balancing.calls.refusals import Refusal, error_inside, error_of
from balancing.errors import QUOTA_SECONDS, Busy, CallError, Exhausted, Refused, Unavailable
from balancing.faults import TABLE, Evidence, Fault, fault_of
from tests.unit.balancing.calls.told import as_text

KINDS = {
    Fault.CLIENT: Refused,
    Fault.BUSY: Busy,
    Fault.QUOTA: Exhausted,
    Fault.ENDPOINT: Unavailable,
}


def error(message: str = "no", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


def found(status: int, body: Any, **headers: str) -> CallError:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_of(Refusal(status, as_text(body), names))


TPD = (
    "Rate limit reached for model `m` on tokens per day (TPD): Limit 100000, Used 99999. "
    "Please try again in 7m12s."
)
MONTHLY = "You've reached your monthly usage limit, resets in 16 days"
FREE_MINUTE = error(
    "You exceeded your current quota, please check your plan. Please retry in 32.4s.",
    status="RESOURCE_EXHAUSTED",
    details=[{"violations": [{"quotaId": "GenerateRequestsPerMinutePerProject-FreeTier"}]}],
)
FREE_DAY = error(
    "You exceeded your current quota, please check your plan.",
    status="RESOURCE_EXHAUSTED",
    details=[{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
             {"retryDelay": "46s"}],
)  # fmt: skip

CASES: list[tuple[str, int, Any, Fault]] = [
    ("OpenAI: a bad value", 400, error(type="invalid_request_error"), Fault.CLIENT),
    ("OpenAI: too long", 400, error(code="context_length_exceeded"), Fault.CLIENT),
    ("OpenAI: a lost file", 404, error("File file-1 not found"), Fault.CLIENT),
    ("OpenRouter: no such feature", 404,
     error("No endpoints found that support tool use"), Fault.CLIENT),
    ("OpenRouter: flagged", 403,
     error("Your input was flagged", metadata={"reasons": ["x"]}), Fault.CLIENT),
    ("Azure: filtered", 400, error(code="content_filter"), Fault.CLIENT),
    ("Azure: filtered, as a 500", 500,
     error(innererror={"code": "ResponsibleAIPolicyViolation"}), Fault.CLIENT),
    ("DashScope: filtered", 400, {"code": "DataInspectionFailed", "message": "no"}, Fault.CLIENT),
    ("Z.ai: a bad argument", 400, error(code="1214"), Fault.CLIENT),
    ("Z.ai: too long, as a 500", 500, error(code="1261"), Fault.CLIENT),
    ("Groq: larger than the minute", 413, error("Request too large for model `m`",
                                                code="rate_limit_exceeded"), Fault.CLIENT),
    ("OpenAI: larger than the minute", 429,
     error("Request too large for gpt-4o on tokens per min", type="tokens",
           code="rate_limit_exceeded"), Fault.CLIENT),
    ("FastAPI", 422, {"detail": [{"loc": ["body", "n"], "msg": "int"}]}, Fault.CLIENT),
    ("llama.cpp: the context, as a 500", 500,
     {"error": {"code": 500, "message": "Context size has been exceeded.",
                "type": "server_error"}}, Fault.CLIENT),
    ("llama.cpp: older", 500, error("the request exceeds the available context size. try "
                                    "increasing the context size"), Fault.CLIENT),
    ("llama.cpp: no picture", 500,
     error("image input is not supported - hint: provide the mmproj"), Fault.CLIENT),
    ("llama.cpp: embeddings", 500,
     error("input is too large to process. increase the physical batch size"), Fault.CLIENT),
    ("llama.cpp: its template", 500,
     error("Conversation roles must alternate user/assistant/user"), Fault.CLIENT),
    ("Ollama: the context", 500, error("the input length exceeds the context length"),
     Fault.CLIENT),
    ("SGLang", 500, error("Input length (9) exceeds the maximum allowed length (8)"),
     Fault.CLIENT),
    ("LM Studio", 500, error("The number of tokens to keep from the initial prompt is greater than "
                             "the context length"), Fault.CLIENT),
    ("Ollama: a newer one", 500, error("prompt too long; exceeded max context length by 4 tokens"),
     Fault.CLIENT),
    ("vLLM", 500, error("This model's maximum context length is 8 tokens"), Fault.CLIENT),
    ("a teapot", 418, None, Fault.CLIENT),
    ("a gateway's 502 around a 400", 502, error(code=400), Fault.CLIENT),
    ("LiteLLM", 500, error("litellm.BadRequestError", type="BadRequestError"), Fault.CLIENT),
    ("451", 451, {}, Fault.CLIENT),
    ("OpenAI: no quota", 429, error(code="insufficient_quota", type="insufficient_quota"),
     Fault.QUOTA),
    ("a plan's month", 429, error(MONTHLY, type="rate_limit_error"), Fault.QUOTA),
    ("402", 402, {"error": {"code": 402, "message": "requires more credits"}}, Fault.QUOTA),
    ("DeepSeek", 402, error("Insufficient Balance"), Fault.QUOTA),
    ("Anthropic: no credit", 400, {"type": "error", "error": {
        "type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API."}}, Fault.QUOTA),
    ("Anthropic: billing", 403, error(type="billing_error"), Fault.QUOTA),
    ("Gemini: the day", 429, FREE_DAY, Fault.QUOTA),
    ("Groq: the day", 429, error(TPD, code="rate_limit_exceeded"), Fault.QUOTA),
    ("Codex", 429, error(type="usage_limit_reached", resets_in_seconds=529498), Fault.QUOTA),
    ("DashScope: arrears", 400, {"code": "Arrearage", "message": "no"}, Fault.QUOTA),
    ("Z.ai: arrears", 429, error(code="1113"), Fault.QUOTA),
    ("one-api", 403, error(code="insufficient_user_quota"), Fault.QUOTA),
    ("a trial", 429, error("Your free trial has expired"), Fault.QUOTA),
    ("a wallet", 429, error("You have no credits left"), Fault.QUOTA),
    ("Google: a minute", 429, error("Quota exceeded for metric requests per minute"), Fault.BUSY),
    ("OpenAI: a minute", 429, error(code="rate_limit_exceeded"), Fault.BUSY),
    ("Gemini: the minute", 429, FREE_MINUTE, Fault.BUSY),
    ("nothing said", 429, None, Fault.BUSY),
    ("Anthropic: overloaded", 529, error(type="overloaded_error"), Fault.BUSY),
    ("Gemini: overloaded", 503, error("The model is overloaded.", status="UNAVAILABLE"),
     Fault.BUSY),
    ("llama.cpp: loading", 503, error("Loading model", type="unavailable_error", code=503),
     Fault.BUSY),
    ("Hugging Face", 503, {"error": "Model m is currently loading", "estimated_time": 20.0},
     Fault.BUSY),
    ("Ollama: full", 503, error("server busy, please try again.  maximum pending requests "
                                "exceeded"), Fault.BUSY),
    ("Ray Serve", 503, "Request dropped due to backpressure (num_queued_requests=5)", Fault.BUSY),
    ("Z.ai: overloaded", 429, error(code="1305"), Fault.BUSY),
    ("Groq flex", 498, error(code="capacity_exceeded"), Fault.BUSY),
    ("Bedrock, as a 400", 400, {"__type": "ThrottlingException", "message": "slow"}, Fault.BUSY),
    ("a gateway's 502 around a 429", 502, error("Provider returned error", code=429), Fault.BUSY),
    ("OpenAI: our key", 401, error(code="invalid_api_key", type="invalid_request_error"),
     Fault.ENDPOINT),
    ("OpenAI: our model", 404, error("The model `m` does not exist",
                                     code="model_not_found", type="invalid_request_error"),
     Fault.ENDPOINT),
    ("vLLM: our model", 404, {"object": "error", "message": "The model `m` does not exist.",
                              "type": "NotFoundError", "code": 404}, Fault.ENDPOINT),
    ("a wrong path", 404, "404 page not found", Fault.ENDPOINT),
    ("405", 405, None, Fault.ENDPOINT),
    ("OpenAI: our country", 403, error(code="unsupported_country_region_territory"),
     Fault.ENDPOINT),
    ("Gemini: our key", 400, error("API key not valid. Please pass a valid API key.",
                                   status="INVALID_ARGUMENT"), Fault.ENDPOINT),
    ("OpenRouter: our model", 400, error("m/x is not a valid model ID", code=400),
     Fault.ENDPOINT),
    ("OpenAI: its own fault", 500,
     error("The server had an error while processing your request. Please try again later.",
           type="server_error"), Fault.ENDPOINT),
    ("Ollama: its own fault", 500, error("llama runner process has terminated: error loading "
                                         "model"), Fault.ENDPOINT),
    ("nginx", 502, "<html><head><title>502 Bad Gateway</title></head></html>", Fault.ENDPOINT),
    ("TGI: its own fault", 424, error("Request failed during generation"), Fault.ENDPOINT),
    ("Z.ai: no permission", 434, None, Fault.ENDPOINT),
    ("Go: its own deadline", 500, error("context deadline exceeded"), Fault.ENDPOINT),
    ("LM Studio: loads", 400, {"error": "Model is loading, please wait"}, Fault.BUSY),
    ("LM Studio: not loaded", 400, {"error": "Model is not loaded"}, Fault.CLIENT),
    ("TGI: busy", 424, error("Model too busy"), Fault.BUSY),
    ("a prompt that speaks of it", 400, error("bad prompt: too many requests"), Fault.CLIENT),
    ("no memory", 500, error("CUDA out of memory: memory usage limit 8 GB"), Fault.ENDPOINT),
    ("a bare 503", 503, None, Fault.ENDPOINT),
    ("a redirect", 302, None, Fault.ENDPOINT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "fault"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_refusal(status: int, body: Any, fault: Fault) -> None:
    told = found(status, body)

    assert type(told) is KINDS[fault]
    assert told.retryable == (fault is not Fault.CLIENT)
    if isinstance(told, Refused):
        assert 400 <= told.status < 500, "an SDK does not repeat it"


INSIDE: list[tuple[str, Any, Fault]] = [
    ("X20: a code of 400", error("bad n", code=400), Fault.CLIENT),
    ("X20: vLLM", {"object": "error", "message": "bad n", "type": "BadRequestError", "code": 400},
     Fault.CLIENT),
    ("A4: a bare one", {"object": "error", "message": "no", "code": 400}, Fault.ENDPOINT),
    ("X20: the code as text", error(code="400"), Fault.CLIENT),
    ("X20: 422", error(code=422), Fault.CLIENT),
    ("X20: by its type", error(type="invalid_request_error"), Fault.CLIENT),
    ("X20: Anthropic", {"type": "error", "error": {"type": "invalid_request_error"}},
     Fault.CLIENT),
    ("FastAPI's list", {"detail": [{"loc": ["body"], "msg": "bad"}]}, Fault.CLIENT),
    ("MiniMax: a bad argument", {"base_resp": {"status_code": 2013, "status_msg": "bad"}},
     Fault.CLIENT),
    ("A4, MiniMax: its rate", {"base_resp": {"status_code": 1002, "status_msg": "rate"}},
     Fault.BUSY),
    ("Anthropic: overloaded", {"error": {"type": "overloaded_error"}}, Fault.BUSY),
    ("a rate limit", error("Rate limit reached", type="rate_limit_error"), Fault.BUSY),
    ("OpenRouter: 429", error("Provider returned error", code=429), Fault.BUSY),
    ("MiniMax: no balance", {"base_resp": {"status_code": 1008}}, Fault.QUOTA),
    ("no quota", error(code="insufficient_quota"), Fault.QUOTA),
    ("A4: a detail", {"detail": "it broke"}, Fault.ENDPOINT),
    ("a text", {"error": "out of memory"}, Fault.ENDPOINT),
    ("502", error(code=502), Fault.ENDPOINT),
]  # fmt: skip


@pytest.mark.parametrize(("body", "fault"), [c[1:] for c in INSIDE], ids=[c[0] for c in INSIDE])
def test_an_error_inside_a_success(body: Any, fault: Fault) -> None:
    assert type(error_inside(body)) is KINDS[fault]


def test_a_long_wait_is_no_moment() -> None:
    """B4: a rate limit that asks for half an hour is a quota for the pool."""
    assert type(found(429, error(), retry_after="30")) is Busy
    long = found(429, error(), retry_after="1800")
    assert (type(long), long.retry_after_seconds) == (Exhausted, 1800.0)


def test_a_quota_always_has_a_wait() -> None:
    """B2"""
    assert found(429, error(code="insufficient_quota")).retry_after_seconds == QUOTA_SECONDS
    assert found(429, error(MONTHLY)).retry_after_seconds == 3600.0
    assert found(429, error(TPD)).retry_after_seconds == 432.0


def test_a_503_that_says_when_is_busy() -> None:
    told = found(503, None, retry_after="3")

    assert (type(told), told.retry_after_seconds) == (Busy, 3.0)


def test_a_client_cannot_make_a_quota_by_what_it_sends() -> None:
    """Providers repeat a request's values in the text of a 400."""
    echo = error("Invalid value: 'insufficient balance, monthly usage limit, model not found'")

    assert type(found(400, echo)) is Refused


def test_each_row_names_its_source_and_decides_something() -> None:
    assert all(row.source and (row.codes or row.texts) for row in TABLE)
    assert {row.fault for row in TABLE} == set(Fault)
    assert fault_of(Evidence(418)) is Fault.CLIENT


@pytest.mark.parametrize(
    ("status", "words", "otherwise"),
    [
        (500, "your credits are exhausted", Exhausted),
        (0, "no quota", Exhausted),
        (502, "server is overloaded", Busy),
        (429, "monthly limit", Exhausted),
    ],
)
def test_a_clients_own_words_take_no_endpoint_from_others(
    status: int, words: str, otherwise: type[CallError]
) -> None:
    """B6: an error that repeats the prompt says nothing of the endpoint's account or load."""
    body = error(f"cannot parse input: {words.title()}")

    def told(sent: str) -> CallError:
        if not status:
            return error_inside(body, sent)
        return error_of(Refusal(status, as_text(body)), sent=sent)

    assert type(told('{"messages":[{"content":"hello"}]}')) is otherwise
    echoed = told(f'{{"messages":[{{"content":"Say: {words.upper()}"}}]}}')
    assert type(echoed) is (Busy if status == 429 else Unavailable)
