"""`/admin/queues` and `/admin/dead-letter`: jobs of all tenants, steered by operators only."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.dialogue import services
from conversations.doors.rest.openapi import shapes
from conversations.doors.rest.protocol import ids
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import capped_count
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import filters
from conversations.models import Message
from scheduling import services as scheduling
from scheduling.errors import IllegalTransition, JobNotFound
from scheduling.models import Job, Status

LARGEST_REQUEUE = 1000


class QueuedJob(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="remove_from_queue",
        responses={200: shapes.enveloped(shapes.ANYTHING, "Removed"), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, priority: str, job_id: str) -> Response:
        """Take a waiting job off its queue: it ends as cancelled."""
        level = filters.level(priority)
        job = Job.objects.filter(pk=_id(job_id), level=level).first()
        if job is None:
            raise RestError(Code.MESSAGE_NOT_FOUND, field="id")
        if job.status == Status.PROCESSING:
            raise IllegalTransition(job.status, "taken off its queue")
        status = _cancel(job)
        return success({"id": job_id, "queue_name": level.queue, "status": str(status)})


class RequeueDeadLetter(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="requeue_dead_letter",
        request=None,
        responses={200: shapes.enveloped(shapes.ANYTHING, "Requeued"), **shapes.REFUSALS},
    )
    def post(self, _request: Request, job_id: str) -> Response:
        """Queue one failed job again."""
        status = scheduling.requeue(job_id=_id(job_id))
        return success({"id": job_id, "status": str(status)})


class RequeueDeadLetters(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="requeue_dead_letters",
        request=None,
        responses={200: shapes.enveloped(shapes.ANYTHING, "RequeuedAll"), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Queue all failed jobs again, oldest first, up to 1,000 a call; `remaining` are left."""
        dead = Job.objects.filter(status=Status.FAILED)
        chosen = dead.order_by("finished_at").values_list("pk", flat=True)[:LARGEST_REQUEUE]
        requeued = sum(_requeued(job_id) for job_id in list(chosen))
        return success({"requeued": requeued, "remaining": capped_count(dead)})


def _id(text: str) -> UUID:
    if identifier := ids.parse(ids.MESSAGE, text):
        return identifier
    raise RestError(Code.MESSAGE_NOT_FOUND, field="id")


def _cancel(job: Job) -> Status:
    """Cancel the job's message, if there is one, so that its conversation goes on."""
    message = Message.objects.filter(job_id=job.pk).select_related("job").first()
    if message is not None:
        return services.cancel(message=message)
    return scheduling.cancel(job_id=job.pk)


def _requeued(job_id: UUID) -> bool:
    try:
        scheduling.requeue(job_id=job_id)
    except (IllegalTransition, JobNotFound):
        return False  # it was queued again, or removed, meanwhile
    return True
