"""kombu's Redis transport, without what a ticket does not need and without its fatal exits.

Three differences, all tested:

- Tickets are not copied to the `unacked` hash: a ticket lost with its worker is replaced by the
  sweep, so the two round trips per message buy nothing. Other queues keep the bookkeeping.
- On a dead connection stock 5.7 reads `transport.client`, which is None by then; the
  AttributeError is not a connection error and the worker exits with code 1. Here a dead channel
  neither acknowledges nor restores: the broker redelivers what it still holds.
- To the stock worker an error that Valkey answers is fatal, also `READONLY` and `UNBLOCKED` of a
  primary that has become a replica, or `OOM`. Here it is a broken connection: the worker connects
  again, to whichever server has the name by then.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

from scheduling.levels import LEVELS
from scheduling.tickets.gate import gate
from stores.control import AGAIN

CLOSED_POLL_SECONDS = 0.05


class QoS(redis.QoS):
    """Acknowledgement, in memory for tickets."""

    _delivered: Any
    _flush: Any
    _on_collect: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        if _is_ticket(message):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if self._is_ticket_tag(delivery_tag) or self._is_dead():
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if self._is_ticket_tag(delivery_tag) or self._is_dead():
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().reject(delivery_tag, requeue=requeue)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        self._flush()
        for tag in [tag for tag, message in self._delivered.items() if _is_ticket(message)]:
            self._delivered.pop(tag, None)
        if self._is_dead():
            self._on_collect.cancel()
            self._delivered.clear()
            self._delivered.restored = True
            return
        super().restore_unacked_once(stderr=stderr)

    def _is_ticket_tag(self, delivery_tag: str) -> bool:
        message = self._delivered.get(delivery_tag)
        return message is not None and _is_ticket(message)

    def _is_dead(self) -> bool:
        transport = self.channel.connection
        return transport is None or getattr(transport, "client", None) is None


def _is_ticket(message: Any) -> bool:
    return message.delivery_info.get("routing_key") in LEVELS


class Channel(redis.Channel):
    QoS = QoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        # The hub's thread waits for these commands.
        made: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        return {**made, "retry": AGAIN}

    def _brpop_start(self, timeout: float | None = None) -> None:
        # A BRPOP names its queues: while a level is closed it must return soon, or a level that
        # opens again would wait behind an empty one for the whole second.
        if timeout is None and gate.has_closed:
            timeout = CLOSED_POLL_SECONDS
        super()._brpop_start(timeout=timeout)  # type: ignore[misc]


class Transport(redis.Transport):
    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)
