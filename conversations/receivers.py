"""What follows a change? A message's job has ended; a key, a tenant, a user or a rule is saved."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from conversations.access import keys
from conversations.dialogue import services
from conversations.models import ApiKey, PriorityRule, Tenant, User
from conversations.priority import rulebook
from scheduling.models import Job, Source
from scheduling.signals import job_finished
from stores import control


@receiver(job_finished, sender=Job, dispatch_uid="conversations.finish_turn")
def finish_turn(*, job_id: UUID, source: str, **_: Any) -> None:
    """Record the answer and release the next turn. The signal may come twice, or hours late."""
    if source != Source.MESSAGE:
        return
    try:
        services.finish_turn(job_id=job_id)
    finally:
        # In a worker's thread there is no Django request at whose end the connection is closed.
        if not connection.in_atomic_block:
            connection.close()


@receiver((post_save, post_delete), sender=ApiKey, dispatch_uid="conversations.key_changed")
@receiver((post_save, post_delete), sender=Tenant, dispatch_uid="conversations.tenant_changed")
@receiver(post_save, sender=User, dispatch_uid="conversations.user_changed")
def forget_keys(*, created: bool = False, **_: Any) -> None:
    """Make every web process verify keys again, so that a revoked key stops working at once."""
    if created:
        return
    keys.forget()
    transaction.on_commit(lambda: control.tell(keys="changed"))


@receiver((post_save, post_delete), sender=PriorityRule, dispatch_uid="conversations.rule_changed")
def forget_rules(**_: Any) -> None:
    """Make every web process read the rules again, so that a changed rule counts at once."""
    rulebook.forget()
    transaction.on_commit(_publish_rules)


def _publish_rules() -> None:
    # Once more: another thread may have read the rows before the commit.
    rulebook.forget()
    control.tell(rules="changed")
