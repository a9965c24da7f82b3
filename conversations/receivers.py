"""News: a message's job has ended; a key, a tenant or a rule has changed."""

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
    """Record the answer and release the next turn; may come twice, or hours late."""
    if source != Source.MESSAGE:
        return
    try:
        services.finish_turn(job_id=job_id)
    finally:
        # A worker's thread is no Django request: nothing else would give its connection back.
        if not connection.in_atomic_block:
            connection.close()


@receiver((post_save, post_delete), sender=ApiKey, dispatch_uid="conversations.key_changed")
@receiver((post_save, post_delete), sender=Tenant, dispatch_uid="conversations.tenant_changed")
@receiver(post_save, sender=User, dispatch_uid="conversations.user_changed")
def forget_keys(*, created: bool = False, **_: Any) -> None:
    """A revoked key stops working in every web process at once, not when its memory runs out."""
    if created:
        return
    keys.forget()
    transaction.on_commit(lambda: control.tell(keys="changed"))


@receiver((post_save, post_delete), sender=PriorityRule, dispatch_uid="conversations.rule_changed")
def forget_rules(**_: Any) -> None:
    """A changed rule counts in every web process at once."""
    rulebook.forget()
    transaction.on_commit(_tell_of_rules)


def _tell_of_rules() -> None:
    # Again: another thread may have read the rows before the commit.
    rulebook.forget()
    control.tell(rules="changed")
