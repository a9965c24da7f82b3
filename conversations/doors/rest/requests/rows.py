"""Which row does an operator mean, and can it be changed so? Else a refusal names the field."""

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
    """The row of an id in a path. PostgreSQL cannot hold larger ids than `LARGEST_ID`."""
    row = rows.filter(pk=identifier).first() if identifier <= LARGEST_ID else None
    if row is None:
        raise RestError(Code.NOT_FOUND, f"there is no such {what}", field="id")
    return row


def stored(change: Callable[[], Row], *, taken: RestError, names: Mapping[str, str] = {}) -> Row:
    """Make a change. If the model's validation refuses it, so does this door.

    Args:
        taken: the refusal of a name that another row has.
        names: what clients call a field, by the model's name for it.
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
