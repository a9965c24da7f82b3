"""Rows that operators name by their id, and changes of them: done, or refused with the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from conversations.doors.rest.protocol.refusals import Code, RestError

LARGEST_ID = 2**63 - 1
Row = TypeVar("Row", bound=Model)


def find(rows: QuerySet[Row], identifier: int, what: str) -> Row:
    """The row of an id that a path names; an id that PostgreSQL cannot hold is none."""
    row = rows.filter(pk=identifier).first() if identifier <= LARGEST_ID else None
    if row is None:
        raise RestError(Code.NOT_FOUND, f"there is no such {what}", field="id")
    return row


def stored(change: Callable[[], Row], *, taken: RestError, names: Mapping[str, str] = {}) -> Row:
    """Do a change; the model's own validation becomes a refusal.

    Args:
        taken: the refusal of a name that another row has.
        names: what a client calls a field of the model, where it calls it otherwise.
    """
    try:
        with transaction.atomic():
            return change()
    except ValidationError as error:
        field, reasons = next(iter(error.message_dict.items()))
        raise RestError(
            Code.MALFORMED_BODY, " ".join(reasons), field=names.get(field, field)
        ) from None
    except (TypeError, ValueError):
        raise RestError(Code.MALFORMED_BODY, "a field has a value of the wrong type") from None
    except IntegrityError:
        raise taken from None
