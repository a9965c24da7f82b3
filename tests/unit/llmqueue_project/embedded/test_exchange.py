from __future__ import annotations

from llmqueue_project.embedded.exchange import Exchange


def test_comments_tell_position_begin_and_queue_time() -> None:
    seen = Exchange("low", "/v1 stream")

    seen.comment("queued position=3 eta=2.5s")
    seen.comment("queued position=1 eta=0.5s")
    assert (seen.position, seen.eta, seen.started) == (3, 2.5, False)

    seen.comment("processing")
    seen.comment("queue_ms=1500.5 endpoint=default")
    assert (seen.started, seen.waited) == (True, 1.5005)
