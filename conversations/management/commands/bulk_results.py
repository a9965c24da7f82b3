"""`manage.py bulk_results IDS`: the outcomes of the requests of `bulk_submit --ids IDS`."""

from __future__ import annotations

from itertools import islice
from typing import Any, BinaryIO

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations.doors.lean.refusals import Refusal, of_end
from conversations.doors.openai.errors import OpenAIErrors
from scheduling.models import Job, JobResult, Status

AT_ONCE = 1000
ENDED_BADLY = (Status.FAILED, Status.TIMEOUT, Status.CANCELLED)


class Command(BaseCommand):
    help = (
        "Write a line of OpenAI's batch output for each line of an --ids file: {id, custom_id, "
        "response: {status_code, request_id, body}, error}, with job_id and status beside them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", help="what `bulk_submit --ids` wrote")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with open(options["ids"], "rb") as lines:  # noqa: PTH123
                self._write(lines)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(f"{options['ids']}: {error}") from None

    def _write(self, lines: BinaryIO) -> None:
        while part := [orjson.loads(line) for line in islice(lines, AT_ONCE)]:
            ids = [entry["job_id"] for entry in part if entry["job_id"]]
            jobs = {str(job.pk): job for job in Job.objects.filter(pk__in=ids)}
            results = dict(JobResult.objects.filter(job_id__in=ids).values_list("job_id", "body"))
            for entry in part:
                job = jobs.get(entry["job_id"])
                body = results.get(job.pk) if job else None
                answer = _of_refused(entry) if entry["job_id"] is None else _of_job(job, body)
                named = {
                    "id": entry["job_id"] or f"line-{entry['line']}",
                    "custom_id": entry.get("custom_id", ""),
                    "job_id": entry["job_id"],
                }
                self.stdout.write(orjson.dumps(named | answer).decode())


def _of_refused(entry: dict[str, Any]) -> dict[str, Any]:
    """What is told of a line that was refused before it became a job."""
    error = entry["error"]
    refusal = Refusal(
        entry["status_code"], error["code"], error["message"], param=error.get("param")
    )
    return {"status": "refused"} | _refused(refusal, "")


def _of_job(job: Job | None, body: str | None) -> dict[str, Any]:
    if job is None:
        return {"status": "unknown", "response": None, "error": None}
    if job.status in ENDED_BADLY:
        # A lost worker leaves the status of an earlier refusal in the row.
        http_status = job.error_status if job.error_code != "lease_lost" else None
        end = {"status": job.status, "code": job.error_code, "message": job.error_message}
        refusal = of_end(end | {"http_status": http_status if job.status == Status.FAILED else 0})
        return {"status": job.status} | _refused(refusal, job.request_id)
    response = _response(200, job.request_id, orjson.loads(body)) if body else None
    return {"status": job.status, "response": response, "error": None}


def _refused(refusal: Refusal, request_id: str) -> dict[str, Any]:
    body = orjson.loads(OpenAIErrors().body(refusal))
    return {
        "response": _response(refusal.status, request_id, body),
        "error": {"code": refusal.code, "message": refusal.message},
    }


def _response(status: int, request_id: str, body: Any) -> dict[str, Any]:
    return {"status_code": status, "request_id": request_id, "body": body}
