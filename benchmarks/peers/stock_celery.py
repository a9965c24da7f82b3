"""An LLM queue as a team writes it in an afternoon: stock Celery, four queues, a blocking call.

Everything is Celery's default: prefork, `worker_prefetch_multiplier` 4, early acknowledgement,
the queues by turns. Nothing is stored but the message and its result.
"""

from __future__ import annotations

import json
import os
import urllib.request

from celery import Celery

app = Celery("stock", broker=os.environ["PEER_REDIS_URL"], backend=os.environ["PEER_REDIS_URL"])


@app.task(name="complete")
def complete(url: str, body: dict[str, object]) -> str:
    """Ask the model; the answer's text."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=600) as response:
        answer: str = json.load(response)["choices"][0]["message"]["content"]
    return answer
