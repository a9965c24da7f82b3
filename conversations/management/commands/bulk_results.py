"""`manage.py bulk_results IDS`: the outcomes of the requests of `bulk_submit --ids IDS`."""

from __future__ import annotations

from itertools import islice
from typing import Any, BinaryIO

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduling.models import Job, JobResult

AT_ONCE = 1000


class Command(BaseCommand):
    help = "Write {custom_id, job_id, status, response, error} for each line of an --ids file."

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
            ids = [entry["job_id"] for entry in part]
            jobs = {str(job.pk): job for job in Job.objects.filter(pk__in=ids)}
            results = dict(JobResult.objects.filter(job_id__in=ids).values_list("job_id", "body"))
            for entry in part:
                job = jobs.get(entry["job_id"])
                body = results.get(job.pk) if job else None
                answer = {
                    "custom_id": entry.get("custom_id", ""),
                    "job_id": entry["job_id"],
                    "status": job.status if job else "unknown",
                    "response": orjson.loads(body) if body else None,
                    "error": _error(job),
                }
                self.stdout.write(orjson.dumps(answer).decode())


def _error(job: Job | None) -> dict[str, str] | None:
    if job is None or not job.error_code or job.status == "completed":
        return None
    return {"code": job.error_code, "message": job.error_message}
