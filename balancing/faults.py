"""Whose fault is it when an endpoint refuses a call or reports an error? One table decides.

It looks at the status, at the provider's codes and at the text together; the first row that matches
decides. Codes are set by the provider. Texts may repeat what the client sent, so they count only
with the statuses that a row names, and with a 400 only from their beginning; and words that the
request holds itself never make an endpoint busy or used up.
`docs/endpoint-errors.md` is this table for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Whose fault a refusal is, and so what follows."""

    # The request cannot succeed: the client is told at once, and the endpoint gets no mark.
    CLIENT = "client"
    # Nobody's: the endpoint is full for a moment. Waited for, without using up an attempt.
    BUSY = "busy"
    # Our account there is used up for long: the endpoint is taken out for that time.
    QUOTA = "quota"
    # The endpoint is broken or wrongly set up: another one is tried, and the failure counts.
    ENDPOINT = "endpoint"


# A wait of this length is no moment any more: other endpoints must do without this one.
LONG_WAIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an endpoint answered.

    Attributes:
        status: HTTP status; 0 for an error inside an answer that began well.
        codes: the provider's codes, types and reasons, in lower case.
        text: its message, in lower case.
        wait_seconds: how long it asks to be left alone; 0 if it does not say.
        sent: the body of the request.
    """

    status: int
    codes: frozenset[str] = frozenset()
    text: str = ""
    wait_seconds: float = 0.0
    sent: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: it matches by a code, else by a text.

    Attributes:
        source: who documents or reports it.
        codes: a pattern for a whole code, at any status outside `never`.
        texts: a pattern for a part of the text, at one of `statuses`.
        never: statuses at which the row does not count.
        needs_long: a text alone does not count beside a told wait that is short.
    """

    fault: Fault
    source: str
    codes: re.Pattern[str] | None = None
    texts: re.Pattern[str] | None = None
    statuses: frozenset[int] = frozenset()
    never: frozenset[int] = frozenset()
    needs_long: bool = False

    def matches(self, seen: Evidence) -> bool:
        if seen.status in self.never:
            return False
        if self.codes and any(map(self.codes.fullmatch, seen.codes)):
            return True
        if not self.texts or seen.status not in self.statuses:
            return False
        if self.needs_long and 0.0 < seen.wait_seconds < LONG_WAIT_SECONDS:
            return False
        found = self.texts.search(seen.text)
        if found is None:
            return False
        # A client's own words say nothing of the endpoint. An error that repeats them must not
        # take it from the others.
        is_the_endpoints = self.fault in (Fault.BUSY, Fault.QUOTA)
        return not is_the_endpoints or found.group() not in seen.sent.lower()


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


_INSIDE = frozenset({0, 200})
_SERVER = _INSIDE | frozenset(range(500, 600))
_REQUEST = frozenset({400, 413, 422})
_CREDENTIAL = frozenset({401, 403, 407})

TABLE: tuple[Row, ...] = (
    Row(
        Fault.CLIENT,
        "OpenAI, Groq: larger than the account's whole limit a minute (429 or 413)",
        texts=_any(r"request too large", r"tokens must be reduced"),
        statuses=_SERVER | {413, 429},
    ),
    Row(
        Fault.QUOTA,
        "OpenAI insufficient_quota, Anthropic billing_error, OpenRouter and DeepSeek 402, Moonshot "
        "exceeded_current_quota_error, DashScope Arrearage, Codex usage_limit_reached, LiteLLM "
        "budget_exceeded, Gemini quota ids PerDay, Z.ai 1113 1304 1308-1311 1313, MiniMax 1008",
        codes=_any(
            r"insufficient[_-]?(user[_-]?)?(quota|balance|credits?|funds)",
            r"billing[_-]\w+",
            r"payment_required",
            r"(account_?)?arrearage",
            r"budget_exceeded",
            r"usage_(limit_reached|limit_exceeded|not_included)",
            r"exceeded_current_quota_error",
            r"(not_enough|insufficient)_balance",
            r"balance_not_enough|billing_balance_not_enough",
            r"credit_balance_too_low|credits?_exhausted",
            r"[\w.-]*perday[\w.-]*",
            r"allocationquota\.freetieronly",
            r"1113|1304|1308|1309|131[013]",
            r"base_resp:(1008|2056|2061)",
        ),
        never=frozenset({401}),
    ),
    Row(
        Fault.QUOTA,
        "Anthropic answers 400 for an account without credit; Novita, Azure likewise",
        texts=_any(
            r"^your credit balance is too low",
            r"^(insufficient|not enough) (account )?"
            r"(balance|credits?|funds|quota)",
        ),
        statuses=frozenset({400}),
    ),
    Row(
        Fault.BUSY,
        "limits by the minute: Google says only that a quota is exceeded",
        texts=_any(r"per[ -]?(minute|second)\b", r"\b(rpm|tpm|rps|qps)\b"),
        statuses=_INSIDE | {403, 429, 503},
    ),
    Row(
        Fault.QUOTA,
        "limits by the day, week or month: Groq (tokens per day), GLM and Codex plans, Ollama",
        texts=_any(
            r"insufficient (account )?(balance|credits?|quota|funds)",
            r"credit balance",
            r"(exceeded|reached|used up|exhausted) (your|the) .{0,40}(quota|credits|budget)",
            r"(daily|weekly|monthly) .{0,20}(limit|cap|quota)",
            r"(?<!memory )(usage|spend(ing)?) (limit|cap|quota)",
            r"(out of|no|0) (more )?(credits?|quota|funds|balance)\b",
            r"\b(credits?|quota|allowance|balance|free (tier|trial|plan)) .{0,30}"
            r"(exhausted|depleted|expired|exceeded|used up|too low)",
            r"requires? more credits",
            r"per[ -](day|week|month)\b",
            r"\b(rpd|tpd)\b",
            r"(resets?|reset|again) (in|after) (\d+ ?d|\d+ (days?|weeks?))",
        ),
        statuses=_SERVER | {402, 403, 429},
        needs_long=True,
    ),
    Row(
        Fault.ENDPOINT,
        "our credential or the model there: OpenAI, Azure DeploymentNotFound, Groq "
        "model_decommissioned, Gemini API_KEY_INVALID, Z.ai 1000-1004 1110-1121 1211 1220-1222, "
        "MiniMax 1004 2049",
        codes=_any(
            r"(invalid|incorrect|missing|expired)_?(api_?key|authentication|token)",
            r"authentication_?error|unauthori[sz]ed|unauthenticated|permission_?(error|denied)",
            r"model_?not_?(found|available|exist)|(deployment|not_?found_?model)notfound",
            r"model_(decommissioned|terms_required|permission\w*)|invalid_model|deploymentnotfound",
            r"api_key_(invalid|expired|not_found)|failed_precondition|account_(deactivated|locked)",
            r"100[0-4]|11[012]\d|1211|122[012]",
            r"base_resp:(1004|2049)",
        ),
    ),
    Row(
        Fault.ENDPOINT,
        "Gemini (400), DeepSeek, OpenRouter and Mistral say so in words",
        texts=_any(
            r"^api key (not valid|expired|not found)",
            r"^(invalid|unknown) model",
            r"^model (does )?not (found|exist)",
            r"^\S{1,100} is not a valid model id",
        ),
        statuses=_REQUEST,
    ),
    Row(
        Fault.CLIENT,
        "too long, filtered, or an argument that is refused: OpenAI, Azure, llama.cpp "
        "exceed_context_size_error, DashScope DataInspectionFailed, Z.ai 1210 1213-1215 1261 1301, "
        "MiniMax 1026 1027 1039 2013",
        codes=_any(
            r"context_?length_?exceeded|exceed_context_size_error|context_window_exceeded\w*",
            r"string_above_max_length|request_too_large|content_?(policy|filter|moderation)\w*",
            r"responsibleaipolicyviolation|data_?inspection_?failed|invalid_prompt|moderation\w*",
            r"unsupported_(parameter|value)|invalid_(image|base64|prompt)\w*",
            r"121[0345]|1261|1301",
            r"base_resp:(1026|1027|1039|2013)",
        ),
        never=_CREDENTIAL - {403},
    ),
    Row(
        Fault.CLIENT,
        "the client's by its code, inside a 200 or behind a gateway's 5xx (LiteLLM, vLLM, SGLang)",
        codes=_any(
            r"invalid_?request(_?error)?",
            r"bad_?request(_?error)?",
            r"unprocessable\w*",
            r"invalid_?(argument|parameter|value|type|input)s?(error)?",
            r"validation_?error",
            r"missing_required_parameter",
            r"value_?error",
            r"request_validation\w*",
        ),
        never=_CREDENTIAL | frozenset({402, 404, 405, 408, 410, 421, 425, 429, 503, 529}),
    ),
    Row(
        Fault.CLIENT,
        "a resource in the request that is not there, or a feature that the model lacks "
        "(OpenAI files, OpenRouter)",
        texts=_any(
            r"\b(file|image|url|audio|video|document|attachment|cached ?content|prompt|thread|"
            r"response|tool|vector store|batch|item|message|conversation)\b.{0,120}"
            r"(not found|not exist|no longer exist|could not be found|couldn't be found)",
            r"no such (file|image|document|response|tool)",
            r"no endpoints found that support",
        ),
        statuses=frozenset({404, 410}),
    ),
    Row(
        Fault.CLIENT,
        "OpenRouter and Azure: flagged by moderation",
        texts=_any(r"flagged", r"moderation", r"content (management )?policy", r"safety system"),
        statuses=frozenset({403}),
    ),
    Row(
        Fault.CLIENT,
        "5xx that are the request's: llama.cpp (#19774, #15780), Ollama, vLLM (#11629, #17896), "
        "SGLang, LM Studio report a long prompt, a template, an image or a grammar so",
        texts=_any(
            r"exceeds? the (available |maximum |model'?s? )?context",
            r"context size has been exceed",
            r"(maximum|model'?s?) context (length|window)",
            r"exceeds? (the )?context (length|size|w)",
            r"(prompt|input|messages?) (is |are )?too long",
            r"too large for model",
            r"max(imum)? (context|allowed) length",
            r"exceeds the (maximum|max) (allowed )?(length|number of|tokens|input)",
            r"(greater|larger|longer) than the (model'?s )?(context|maximum)",
            r"context (length|window|size)? ?(is |was |has been |the )?(exceeded|overflow)",
            r"unsupported content (part|type)|content type .{0,40}not supported",
            r"too many (input )?tokens",
            r"input is too large to process",
            r"tokens? exceeds? the",
            r"requested tokens .{0,40}exceed",
            r"roles must alternate",
            r"jinja",
            r"chat.?template",
            r"system role (is )?not supported",
            r"only user and assistant roles",
            r"at most \d+ (image|audio|video)",
            r"(image|audio|video) input is not supported",
            r"(cannot identify|failed to (load|decode|process|open)|invalid|unsupported) "
            r"(the )?(image|audio|video)",
            r"image: unknown format",
            r"illegal base64|"
            r"(incorrect padding|invalid base64)",
            r"does not support (tools|images|thinking|chat|"
            r"embed|generate|vision|insert|completion)",
            r"(failed|unable) to parse (the )?grammar",
            r"invalid (json )?schema|json schema conversion failed",
            r"cannot unmarshal",
            r"validation errors? for",
            r"field required",
        ),
        statuses=_SERVER,
    ),
    Row(
        Fault.BUSY,
        "Anthropic overloaded_error (529), Gemini RESOURCE_EXHAUSTED and UNAVAILABLE, llama.cpp "
        "unavailable_error (loading), Moonshot engine_overloaded, Mistral 3505, Bedrock "
        "Throttling, TGI overloaded, Z.ai 1302 1303 1305 1312, MiniMax 1002 1041 2045",
        codes=_any(
            r"rate_?limit\w*",
            r"\w*overloaded\w*",
            r"too_?many_?requests\w*",
            r"throttl[\w.]*",
            r"resource_?exhausted|unavailable(_error)?|slow_?down",
            r"server_?(is_)?busy|busy",
            r"\w*capacity_(exceeded|reached)|no_capacity|queue_full",
            r"concurrency_\w*",
            r"1302|1303|1305|1312|3505",
            r"base_resp:(1002|1041|2045)",
        ),
        never=frozenset({401, 403, 404, 413, 422}),
    ),
    Row(
        Fault.BUSY,
        "llama.cpp (Loading model), Ollama (maximum pending requests), Ray Serve (backpressure), "
        "Hugging Face (currently loading), DeepSeek and Together (overloaded)",
        texts=_any(
            r"overloaded",
            r"(over|at|insufficient|exceeded) capacity",
            r"no capacity",
            r"(server|engine|service|system|model)s? (is |are )?(currently |temporarily )?"
            r"(too )?busy",
            r"^loading model",
            r"(is|are|still|currently) (being )?(loading|loaded)",
            r"queue (is )?(currently )?full",
            r"maximum pending requests",
            r"backpressure",
            r"too many (concurrent |pending )?requests",
            r"rate.?limit",
            r"warming up|cold start",
            r"no (available|free) (worker|slot|server|replica|instance)s?",
            r"(流量|访问量).{0,6}过大",
        ),
        statuses=_SERVER,
    ),
    Row(
        Fault.BUSY,
        "servers and gateways that say so with a status of the client's (LM Studio, TGI, One API)",
        texts=_any(
            r"^(the )?model (\S{1,100} )?is (still |currently )?(being )?load(ing|ed)",
            r"^loading model",
            r"^model (is )?too busy",
            r"^(rate limit|too many requests|server (is )?(busy|overloaded))",
        ),
        statuses=frozenset({400, 404, 409, 424, 425}),
    ),
)

# Concern our credential, the path or the server (424: TGI's failed generation, 434: Z.ai's missing
# permission); all others from 400 to 499 concern the request.
_ENDPOINTS = frozenset({401, 403, 404, 405, 407, 408, 410, 421, 423, 424, 425, 426, 434, 444, 499})
_BUSY = frozenset({429, 498, 529})


def fault_of(seen: Evidence) -> Fault:
    """Whose fault it is: the first row that matches, else what the status says."""
    row = next((row for row in TABLE if row.matches(seen)), None)
    fault = row.fault if row else _by_status(seen)
    is_long = fault is Fault.BUSY and seen.wait_seconds >= LONG_WAIT_SECONDS
    return Fault.QUOTA if is_long else fault


def _by_status(seen: Evidence) -> Fault:
    if seen.status in _BUSY or (seen.status == 503 and seen.wait_seconds > 0.0):
        return Fault.BUSY
    if seen.status == 402:
        return Fault.QUOTA
    is_request = 400 <= seen.status < 500 and seen.status not in _ENDPOINTS
    return Fault.CLIENT if is_request else Fault.ENDPOINT
