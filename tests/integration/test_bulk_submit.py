"""`manage.py bulk_submit` and `bulk_results`, on a real PostgreSQL."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from balancing.services import register
from conversations.doors import bulk
from conversations.models import Message, Tenant
from llmqueue_project.config import configuration
from scheduling import pauses
from scheduling.models import Job, JobPayload, JobResult, Priority, Status
from tests.hot_path import MODEL

pytestmark = pytest.mark.django_db
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def tenant() -> Tenant:
    register(name="e", base_url="http://localhost:1/v1", model_names=[MODEL])
    return Tenant.objects.create(name="acme", highest_priority=Priority.HIGH)


def file_of(folder: Path, *lines: Any) -> str:
    path = folder / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


def submit(path: str, *options: str) -> str:
    out = io.StringIO()
    call_command("bulk_submit", path, "--tenant", "acme", *options, stdout=out)
    return out.getvalue()


def results(ids: Path) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("bulk_results", str(ids), stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_kind_of_line_is_stored_in_order(tmp_path: Path) -> None:
    batch = {"custom_id": "c1", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    path = file_of(
        tmp_path,
        CHAT | {"stream": True, "priority": "realtime", "max_tokens": 7},
        batch,
        {"prompt": "once", "model": MODEL},
        {"content": "a message", "user_id": "u"},
        CHAT | {"priority": "normal"},
    )
    ids = tmp_path / "ids"

    told = submit(path, "--ids", str(ids))

    assert told.startswith("5 requests stored as backlog")
    receipts = [json.loads(line) for line in ids.read_text().splitlines()]
    assert [r["line"] for r in receipts] == [1, 2, 3, 4, 5]
    assert [r["custom_id"] for r in receipts] == ["", "c1", "", "", ""]
    jobs = [Job.objects.get(pk=r["job_id"]) for r in receipts]
    assert {(j.status, j.held_reason) for j in jobs} == {("held", "backlog")}
    assert [j.level for j in jobs] == [1, 3, 3, 3, 2], "lowered to the tenant's highest"
    assert [j.api for j in jobs][:3] == ["chat", "chat", "completion"]
    assert [j.stream for j in jobs] == [False, False, False, True, False]
    body = json.loads(JobPayload.objects.get(job=jobs[0]).body)
    assert body == CHAT | {"max_tokens": 7}
    assert jobs[1].cost - jobs[0].cost > 2 * (256 - 7) - 10
    assert Message.objects.get().job_id == jobs[3].pk
    assert jobs[0].deadline_at is None


def test_options_hold_where_a_line_says_nothing(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"messages": CHAT["messages"]})

    submit(path, "--model", MODEL, "--queue-now", "--timeout", "60", "--priority", "normal")

    job = Job.objects.get()
    assert (job.status, job.level) == (Status.QUEUED, Priority.NORMAL)
    assert job.deadline_at is not None
    assert 50 < (job.deadline_at - timezone.now()).total_seconds() <= 60


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("[]", "not a JSON object", id="no object"),
        pytest.param("{", "not JSON", id="no JSON"),
        pytest.param('{"model": "nope", "messages": [{"role": "user"}]}', "'nope'", id="model"),
        pytest.param('{"model": "m", "messages": []}', "at least one message", id="empty"),
        pytest.param(json.dumps(CHAT | {"priority": "x"}), "unknown priority", id="level"),
        pytest.param('{"content": 5, "user_id": "u"}', "content", id="message"),
        pytest.param('{"custom_id": [5]}', "custom_id", id="custom_id"),
        pytest.param('{"url": "/v1/responses", "body": {}}', "/v1/embeddings", id="A28 url"),
        pytest.param('{"url": 5, "body": {}}', "url", id="url of another type"),
        pytest.param(
            json.dumps({"url": "/v1/embeddings", "body": {"model": MODEL, "input": "a"}}),
            "not served at /v1/embeddings",
            id="A28 API",
        ),
        pytest.param('{"content": "a", "user_id": "u", "model": "no"}', "'no'", id="its model"),
        pytest.param(
            f'{{"messages": [], "x": {"[" * 400}{"]" * 400}}}', "nested too deeply", id="deep"
        ),
    ],
)
def test_a_bad_line_is_named_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    """A28"""
    monkeypatch.setattr(bulk, "LINES_AT_ONCE", 2)
    path, ids = tmp_path / "requests.jsonl", tmp_path / "ids"
    path.write_text(f"{json.dumps(CHAT)}\n" * 3 + line + "\n" + f"{json.dumps(CHAT)}\n" * 2)

    with pytest.raises(CommandError, match=r"1 lines are refused; the first: line 4: ") as raised:
        submit(str(path), "--ids", str(ids))

    assert reason in str(raised.value)
    assert Job.objects.count() == 5
    noted = [json.loads(each) for each in ids.read_text().splitlines()]
    assert [each["line"] for each in noted] == [1, 2, 3, 4, 5, 6]
    assert 400 <= noted[3]["status_code"] < 500
    with pytest.raises(CommandError, match="line 4"):
        submit(str(path), "--check")
    assert Job.objects.count() == 5


def test_a_refused_line_appears_in_the_results(tmp_path: Path) -> None:
    """A28"""
    ids = tmp_path / "ids"
    bad = {"custom_id": "bad", "url": "/v1/chat/completions", "body": CHAT | {"messages": []}}
    with pytest.raises(CommandError):
        submit(file_of(tmp_path, bad, CHAT), "--ids", str(ids))

    first, second = results(ids)

    assert (first["id"], first["custom_id"], first["status"]) == ("line-1", "bad", "refused")
    assert first["response"]["status_code"] == 400
    assert first["response"]["body"]["error"]["param"] == "messages"
    assert first["error"]["code"] == "invalid_value"
    assert (second["status"], second["response"]) == ("held", None)


def test_an_endpoints_refusal_has_its_status_in_the_results(tmp_path: Path) -> None:
    """A28"""
    ids = tmp_path / "ids"
    submit(file_of(tmp_path, CHAT, CHAT, CHAT), "--ids", str(ids))
    refused, late, lost = Job.objects.all()
    for job, status, code, http_status in (
        (refused, Status.FAILED, "refused", 422),
        (late, Status.TIMEOUT, "timeout", None),
        (lost, Status.FAILED, "lease_lost", 422),
    ):
        Job.objects.filter(pk=job.pk).update(
            status=status, error_code=code, error_message="no", error_status=http_status
        )

    found = {(each["response"]["status_code"], each["error"]["code"]) for each in results(ids)}

    assert found == {(422, "refused"), (408, "timeout"), (502, "lease_lost")}


def test_files_of_windows_and_lines_of_openais_format_are_read(tmp_path: Path) -> None:
    """A28"""
    register(name="v", base_url="http://localhost:2/v1", model_names=["v"], apis=["embedding"])
    vector = {"model": "v", "input": ["a", "b"]}
    lines = [
        {"custom_id": 7, "url": "/v1/embeddings", "body": vector},
        {"custom_id": "b", "url": "https://api.openai.com/v1/completions/", "body": {"prompt": ""}},
        vector,
        {"custom_id": "b", "url": "/v1/chat/completions", "body": CHAT},
    ]
    path = tmp_path / "requests.jsonl"
    text = "\r\n\r\n".join(json.dumps(line) for line in lines)
    path.write_bytes(b"\xef\xbb\xbf\r\n\xef\xbb\xbf" + text.encode())
    ids = tmp_path / "ids"

    assert submit(str(path), "--model", MODEL, "--ids", str(ids)).startswith("4 requests")

    noted = [json.loads(each) for each in ids.read_text().splitlines()]
    assert [each["custom_id"] for each in noted] == ["7", "b", "", "b"]
    jobs = [Job.objects.get(pk=each["job_id"]) for each in noted]
    assert [job.api for job in jobs] == ["embedding", "completion", "embedding", "chat"]
    assert jobs[0].cost < 20, "an embedding generates nothing"


def test_a_line_above_the_limit_of_bodies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration()
    small = config.model_copy(update={"web": config.web.model_copy(update={"max_body_bytes": 90})})
    monkeypatch.setattr("conversations.doors.batch_lines.configuration", lambda: small)

    with pytest.raises(CommandError, match="line 1: it is longer than 90 bytes"):
        submit(file_of(tmp_path, CHAT | {"user": "u" * 90}, CHAT))

    assert Job.objects.count() == 1


def test_it_goes_on_after_the_lines_to_skip(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"content": ""}, CHAT)

    assert submit(path, "--skip", "1").startswith("1 requests")


def test_paused_intake_is_said(tmp_path: Path) -> None:
    pauses.pause_intake(reason="new disks")

    with pytest.raises(CommandError, match="new disks"):
        submit(file_of(tmp_path, CHAT))


def test_unknown_tenants_and_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        call_command("bulk_submit", "x", "--tenant", "nobody")
    with pytest.raises(CommandError, match="No such file"):
        submit(str(tmp_path / "absent"))


def test_results_are_read_back_with_the_ids(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    submit(file_of(tmp_path, {"custom_id": "a", "body": CHAT}, CHAT, CHAT), "--ids", str(ids))
    done, failed, waiting = Job.objects.order_by("id")
    Job.objects.filter(pk=done.pk).update(status=Status.COMPLETED)
    JobResult.objects.create(job=done, body='{"id": "x"}', text="x")
    Job.objects.filter(pk=failed.pk).update(status=Status.FAILED, error_code="http_500")

    found = {entry["job_id"]: entry for entry in results(ids)}
    response = found[str(done.pk)]["response"]
    assert (response["status_code"], response["body"]) == (200, {"id": "x"})
    assert found[str(failed.pk)]["error"]["code"] == "http_500"
    assert (found[str(waiting.pk)]["status"], found[str(waiting.pk)]["response"]) == ("held", None)
    assert {entry["custom_id"] for entry in found.values()} == {"a", ""}
