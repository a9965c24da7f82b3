"""Reads an endpoint's answer: an event stream or a whole one, whatever its label says.

Servers and gateways stream without being asked, answer a request for a stream in one piece, and
label either as they like. So the first bytes decide. A client gets what it asked for.
"""

from __future__ import annotations

from balancing.calls import tolerant
from balancing.calls.answer import Answer
from balancing.calls.events import EventLines, is_event_stream
from balancing.calls.reading import Body, Reading
from balancing.calls.stream import read_stream
from balancing.calls.whole import read_whole


async def read_answer(body: Body, reading: Reading, *, labelled: bool) -> Answer:
    """Read a 200 to its end.

    Args:
        labelled: whether its `Content-Type` says that it is an event stream.

    Raises:
        Broken: it holds no answer, breaks off, or has an unknown shape.
        TooLarge: it exceeds the limit.
        Unavailable, Refused: it reports a failure.
    """
    head, streamed, data = b"", None, b"-"
    while streamed is None and data:
        data = await body.read()
        # White space before an answer is a heartbeat.
        head = (head + data).lstrip().removeprefix(tolerant.BOM).lstrip()
        streamed = is_event_stream(head, labelled=labelled)
    if streamed:
        return await read_stream(body, EventLines(), head, reading)
    return await read_whole(body, head, reading)
