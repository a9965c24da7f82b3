"""Which row is a flow's? The ids that a process has met, so that no request asks for its own."""

from __future__ import annotations

REMEMBERED = 100_000


class FlowIds:
    """Ids by key, name and weight: a flow that was renamed or weighted anew is written again."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str, float], int] = {}

    def get(self, key: str, name: str, weight: float) -> int | None:
        return self._ids.get((key, name, weight))

    def remember(self, key: str, name: str, weight: float, flow_id: int) -> None:
        if len(self._ids) > REMEMBERED:
            self._ids.clear()
        self._ids[key, name, weight] = flow_id
