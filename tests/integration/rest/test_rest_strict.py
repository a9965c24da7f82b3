"""What the REST door refuses: names that nobody reads, and values of another type."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from balancing.models import Endpoint, ModelPool
from conversations.doors.rest.urls import urlpatterns
from conversations.models import Conversation, Message
from scheduling.models import JobPayload, Priority
from tests.integration.rest.conftest import Api, finish

pytestmark = pytest.mark.integration

MESSAGE = {"user_id": "u1", "content": "hello"}
ENDPOINT = {"name": "two", "base_url": "http://two:8000/v1", "models": ["m"]}
RULE = {"name": "long ones", "type": "length", "priority": "low", "min_chars": 10}


# Another spelling of `sort`.
UNTOLD = {"sort_by", "order"}


class Rows:
    """A row of each kind, and the path of each write operation with a valid body."""

    def __init__(self, operator: Api, endpoint: Endpoint) -> None:
        conversation = operator.post("/conversations", {"user_id": "u1"}).data["id"]
        pool = operator.post("/model-pools", {"pattern": "m-*"}).data["id"]
        rule = operator.post("/admin/preprocessor/rules", RULE).data["id"]
        message = operator.send()["id"]
        failed = operator.send()["id"]
        finish(failed, "failed")  # type: ignore[arg-type]  # a status is its text
        self.operations: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/messages", MESSAGE),
            ("POST", "/messages/batch", {"messages": [MESSAGE]}),
            ("PUT", f"/messages/{message}/status", {"status": "cancelled"}),
            ("POST", f"/messages/{message}/cancel", {}),
            ("POST", f"/messages/{failed}/retry", {}),
            ("POST", "/conversations", {"user_id": "u1"}),
            ("PUT", f"/conversations/{conversation}", {"title": "t"}),
            ("PUT", f"/conversations/{conversation}/state", {"state": "completed"}),
            ("POST", f"/conversations/{conversation}/messages", {"content": "hello"}),
            ("POST", "/endpoints", ENDPOINT),
            ("PATCH", f"/endpoints/{endpoint.pk}", {"weight": 2}),
            ("POST", "/resources", {**ENDPOINT, "name": "three", "total": 2}),
            ("POST", "/model-pools", {"pattern": "n-*"}),
            ("PATCH", f"/model-pools/{pool}", {"hedging": False}),
            ("POST", "/admin/preprocessor/rules", {**RULE, "name": "another"}),
            ("PATCH", f"/admin/preprocessor/rules/{rule}", {"order": 3}),
            ("POST", "/admin/preprocessor/user-priorities", {"user_id": "u1", "priority": "low"}),
            ("POST", f"/admin/dead-letter/requeue/{failed}", {}),
            ("POST", "/admin/dead-letter/requeue-all", {}),
        ]


def test_an_unknown_field_is_refused_by_every_write_operation(
    operator: Api, endpoint: Endpoint
) -> None:
    for method, path, body in Rows(operator, endpoint).operations:
        answer = operator.call(method, path, {**body, "whatever": 1})
        answer.refused(400, 1014, "whatever")


def test_an_unknown_parameter_is_refused_by_every_operation(
    operator: Api, endpoint: Endpoint
) -> None:
    rows = Rows(operator, endpoint)
    lists = [
        ("GET", path, None) for path in ("/messages", "/conversations", "/endpoints", "/usage")
    ]
    plain = [("GET", path, None) for path in ("/config", "/queues/status", "/queues/stats")]

    for method, path, body in [*rows.operations, *lists, *plain]:
        operator.call(method, f"{path}?whatever=1", body).refused(400, 1014, "whatever")


@pytest.mark.parametrize(
    ("path", "body", "field", "nearest"),
    [
        ("/messages", {**MESSAGE, "prioritty": "high"}, "prioritty", "priority"),
        ("/messages", {**MESSAGE, "Priority": "high"}, "Priority", "priority"),
        ("/messages", {**MESSAGE, "conversationId": "x"}, "conversationId", "conversation_id"),
        ("/messages", {**MESSAGE, "meta_data": {}}, "meta_data", "metadata"),
        ("/messages/batch", {"message": [MESSAGE]}, "message", "messages"),
        (
            "/messages/batch",
            {"messages": [MESSAGE, {**MESSAGE, "timout": 1}]},
            "messages[1].timout",
            "timeout",
        ),
        ("/conversations", {"user_id": "u", "expires": None}, "expires", "expires_at"),
        ("/endpoints", {**ENDPOINT, "model": ["m"]}, "model", "models"),
        ("/endpoints", {**ENDPOINT, "max_concurency": 9}, "max_concurency", "max_concurrent"),
        ("/model-pools", {"pattern": "a", "fallbacks": []}, "fallbacks", "fallback_models"),
        ("/messages?prority=high", MESSAGE, "prority", None),
    ],
)
def test_the_nearest_known_name_is_told(
    operator: Api, path: str, body: dict[str, Any], field: str, nearest: str | None
) -> None:
    answer = operator.post(path, body)

    answer.refused(400, 1014, field)
    reason = answer.body["details"]["reason"]
    assert reason.endswith(f"did you mean {nearest}?" if nearest else "none is taken")


def test_a_misspelt_filter_is_refused(api: Api) -> None:
    answer = api.get("/messages?statsu=failed")

    answer.refused(400, 1014, "statsu")
    assert "did you mean status?" in answer.body["details"]["reason"]


@pytest.mark.parametrize("name", ["\ud800", "\x00", "a" * 100_000, ""])
def test_any_name_can_be_refused(api: Api, name: str) -> None:
    api.post("/messages", {**MESSAGE, name: 1}).refused(400, 1014)


def test_an_unknown_path_is_not_found_whatever_it_is_asked(api: Api) -> None:
    api.post("/massages?a=1", {"b": 1}).refused(404, 1016)


def test_another_conversation_than_the_paths_is_refused(api: Api) -> None:
    one, two = (api.post("/conversations", {"user_id": "u1"}).data["id"] for _ in range(2))
    path = f"/conversations/{one}/messages"

    api.post(path, {"content": "a", "conversation_id": two}).refused(400, 1014, "conversation_id")
    assert api.post(path, {"content": "a", "conversation_id": one}).status == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_concurrent", True),
        ("max_concurrent", 3.7),
        ("max_concurrent", 3.0),
        ("max_concurrent", "3"),
        ("max_concurrent", 0),
        ("max_concurrent", 10**30),
        ("max_concurrent", None),
        ("weight", True),
        ("weight", "2"),
        ("weight", None),
        ("weight", -1),
        ("connect_timeout", True),
        ("connect_timeout", "5"),
        ("total_timeout", 1e308),
        ("total_timeout", 0),
        ("requests_per_minute", 1.5),
        ("requests_per_minute", False),
        ("tokens_per_minute", "many"),
        ("verify_tls", 1),
        ("verify_tls", "true"),
        ("discover_models", None),
        ("proxy_url", []),
        ("proxy_url", {}),
        ("proxy_url", 5),
        ("base_url", ["http://a/v1"]),
        ("base_url", "http://a/v1\x00"),
        ("base_url", "http://" + "a" * 1000),
        ("api_version", 2024),
        ("api_version", "\ud800"),
        ("api_key_variable", 7),
        ("ca_bundle", ["pem"]),
        ("kind", 1),
        ("kind", "nothing"),
        ("kind", "\x00"),
        ("discover", True),
        ("models", "m"),
        ("models", []),
        ("models", [1]),
        ("models", ["\x00"]),
        ("models", {"m": 1}),
        ("apis", "chat"),
        ("apis", [None]),
        ("apis", ["\ud800"]),
        ("extra_headers", []),
        ("extra_headers", {"X-A": 1}),
        ("model_aliases", [["a", "b"]]),
        ("prices", "free"),
        ("prices", {"m": {"inptu": 1}}),
        ("prices", {"m": {"input": "1"}}),
        ("prices", {"m": {"input": True}}),
        ("credential", 5),
        ("state", "on"),
        ("state", True),
        ("name", "  "),
        ("name", ""),
        ("name", None),
        ("name", "a b"),
        ("name", "a\x00"),
    ],
)
def test_an_endpoints_fields_have_types(
    operator: Api, endpoint: Endpoint, field: str, value: Any
) -> None:
    before = Endpoint.objects.values().get(pk=endpoint.pk)

    operator.post("/endpoints", {**ENDPOINT, field: value}).refused(400, 1014, field)
    operator.patch(f"/endpoints/{endpoint.pk}", {field: value}).refused(400, 1014, field)
    assert Endpoint.objects.values().get() == before


def test_an_endpoint_is_renamed(operator: Api, endpoint: Endpoint) -> None:
    Endpoint.objects.create(name="taken", base_url="http://t/v1", model_names=["m"])
    path = f"/endpoints/{endpoint.pk}"

    assert operator.patch(path, {"name": "uno"}).data["name"] == "uno"
    operator.patch(path, {"name": "taken"}).refused(409, 1013, "name")


def test_a_managed_endpoint_keeps_its_name(operator: Api, endpoint: Endpoint) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(managed_by="file")
    path = f"/endpoints/{endpoint.pk}"

    operator.patch(path, {"name": "uno"}).refused(409, 1013, "name")
    assert operator.patch(path, {"name": endpoint.name, "weight": 2}).data["weight"] == 2


def test_a_model_pool_takes_another_pattern(operator: Api) -> None:
    first = operator.post("/model-pools", {"pattern": "a-*"}).data["id"]
    operator.post("/model-pools", {"pattern": "b-*"})

    assert operator.patch(f"/model-pools/{first}", {"pattern": "c-*"}).data["pattern"] == "c-*"
    operator.patch(f"/model-pools/{first}", {"pattern": "b-*"}).refused(409, 1013, "pattern")
    assert sorted(ModelPool.objects.values_list("pattern", flat=True)) == ["b-*", "c-*"]


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        ("/model-pools", {"pattern": 5}, 1014, "pattern"),
        ("/model-pools", {"pattern": " "}, 1014, "pattern"),
        ("/model-pools", {}, 1014, "pattern"),
        ("/model-pools", {"pattern": "a", "profile": ["x"]}, 1014, "profile"),
        ("/model-pools", {"pattern": "a", "hedging": 1}, 1014, "hedging"),
        ("/model-pools", {"pattern": "a", "fallback_models": {}}, 1014, "fallback_models"),
        ("/model-pools", {"pattern": "a", "fallback_models": "m"}, 1014, "fallback_models"),
        ("/resources", {**ENDPOINT, "total": 2.5}, 1014, "total"),
        ("/resources", {**ENDPOINT, "total": True}, 1014, "total"),
        ("/resources", {**ENDPOINT, "models": "m"}, 1014, "models"),
        ("/admin/preprocessor/rules", {**RULE, "name": " "}, 1014, "name"),
        ("/admin/preprocessor/rules", {**RULE, "min_chars": 1.0}, 1014, "min_chars"),
        ("/admin/preprocessor/rules", {**RULE, "priority": 1}, 1003, "priority"),
        ("/admin/preprocessor/rules", {**RULE, "enabled": "yes"}, 1014, "enabled"),
        (
            "/admin/preprocessor/rules",
            {"name": "r", "type": "keyword", "priority": "low", "keywords": ["a\x00"]},
            1014,
            "keywords",
        ),
        (
            "/admin/preprocessor/rules",
            {"name": "r", "type": "regex", "priority": "low", "pattern": "\ud800"},
            1014,
            "pattern",
        ),
        ("/conversations", {"user_id": "u", "title": "a\x00"}, 1014, "title"),
        ("/conversations", {"user_id": "u", "title": ["a"]}, 1014, "title"),
        ("/conversations", {"user_id": "u", "model": " "}, 1014, "model"),
        (
            "/conversations",
            {"user_id": "u", "expires_at": "2020-01-01T00:00:00Z"},
            1014,
            "expires_at",
        ),
        (
            "/conversations",
            {"user_id": "u", "expires_at": "99999-01-01T00:00:00Z"},
            1014,
            "expires_at",
        ),
        (
            "/conversations",
            {"user_id": "u", "expires_at": "2030-01-01T00:00:00"},
            1014,
            "expires_at",
        ),
        ("/conversations", {"user_id": "u", "priority": 0}, 1003, "priority"),
        ("/messages/batch", {"messages": []}, 1014, "messages"),
        ("/messages/batch", {"messages": {}}, 1014, "messages"),
        ("/messages/batch", {"messages": [[]]}, 1014, "messages[0]"),
        (
            "/messages/batch",
            {"messages": [{**MESSAGE, "priority": 5}]},
            1003,
            "messages[0].priority",
        ),
    ],
)
def test_other_fields_have_types_too(
    operator: Api, path: str, body: dict[str, Any], code: int, field: str
) -> None:
    operator.post(path, body).refused(400, code, field)


def test_a22_nul_and_half_emojis_in_a_clients_text_are_replaced(api: Api) -> None:
    raw = rb'{"user_id": "u", "content": "a\u0000b\ud83d", "metadata": {"k\u0000": "\ud83d"}}'

    data = api.post("/messages", raw).data

    assert data["content"] == "a\ufffdb\ufffd"
    assert data["metadata"] == {"k\ufffd": "\ufffd"}
    assert "a\ufffdb\ufffd" in JobPayload.objects.get().body
    assert Message.objects.get().content == data["content"]


def test_a22_nul_in_a_conversations_context_is_replaced(api: Api) -> None:
    made = api.post("/conversations", {"user_id": "u", "context": "be\x00brief"}).data

    assert Conversation.objects.get().context == made["context"] == "be\ufffdbrief"


@pytest.mark.parametrize("query", ["page=" + "9" * 31, "page=0", "page=1.0", "page_size=x"])
def test_impossible_pages_are_refused(api: Api, query: str) -> None:
    api.get(f"/messages?{query}").refused(400, 1014)


@pytest.mark.parametrize("identifier", [2**63, 10**30, "9" * 5000])
def test_ids_that_no_row_can_have_are_not_found(operator: Api, identifier: Any) -> None:
    for path in ("/endpoints", "/model-pools", "/admin/preprocessor/rules"):
        assert operator.patch(f"{path}/{identifier}", {}).status == 404
        assert operator.delete(f"{path}/{identifier}").status == 404


def test_priorities_are_words(api: Api) -> None:
    answer = api.post("/messages", {**MESSAGE, "priority": 10})

    answer.refused(400, 1003, "priority")
    assert "realtime, high, normal, low" in answer.body["details"]["reason"]
    assert [level.label for level in Priority] == ["realtime", "high", "normal", "low"]


def test_the_document_names_the_fields_that_are_read() -> None:
    document = Client().get("/api/schema/", {"format": "json"}).json()
    shapes = document["components"]["schemas"]
    compared = 0

    for route in urlpatterns[:-1]:
        path = "/api/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(route.pattern))
        view = route.callback.view_class  # type: ignore[attr-defined]  # as_view() adds it
        for method, operation in document["paths"][path].items():
            taken = view.body_fields.get(method.upper(), frozenset())
            content = operation.get("requestBody", {}).get("content", {})
            reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
            shape = shapes.get(reference.rpartition("/")[2], {"properties": {}})
            assert set(shape["properties"]) == taken, operation["operationId"]
            assert not taken or shape["additionalProperties"] is False
            compared += bool(taken)
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            read = view.query_fields.get(method.upper(), frozenset())
            assert named == read - UNTOLD, operation["operationId"]

    assert compared == 15
