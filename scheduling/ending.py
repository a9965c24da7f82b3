"""The last entry of a job's stream, for ends that no worker's outbox carries."""

from __future__ import annotations

from uuid import UUID

import orjson
import redis
import structlog
from redis.exceptions import RedisError

from llmqueue_project.config import configuration
from scheduling.models import Job
from scheduling.outbox import FINAL, mailbox, stream_key

log = structlog.get_logger(__name__)


def tell_waiting(client: redis.Redis, job: Job) -> None:
    """Tell whoever waits for a job that it ended; a lost word is made up for by their own look."""
    end = {"status": job.status, "code": job.error_code, "message": job.error_message}
    data = orjson.dumps(end).decode()
    attempt = job.attempts + 1
    try:
        if job.stream or job.source != "openai":
            key = stream_key(job.id)
            client.xadd(key, {"k": FINAL, "d": data}, id=f"{attempt}-1")
            client.expire(key, configuration().streaming.expiry_seconds)
        if job.origin:
            letter = [(job.id.hex, attempt, 1, FINAL, data)]
            client.publish(mailbox(job.origin), orjson.dumps(letter))
    except RedisError as error:
        log.info("end.not_told", job=str(job.id), error=str(error))


def forget_stream(client: redis.Redis, job_id: UUID) -> None:
    """The job begins anew: who follows it from the start must not meet its former end."""
    try:
        client.delete(stream_key(job_id))
    except RedisError as error:
        log.info("stream.not_forgotten", job=str(job_id), error=str(error))
