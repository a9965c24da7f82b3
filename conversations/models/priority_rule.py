"""Which priority does a request's content call for? Rules, as operators write them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from conversations.models.tenancy import Tenant
from conversations.priority import rules
from scheduling.models import Priority


class PriorityRule(models.Model):
    """A condition of one kind and the level it calls for; the first rule that matches decides.

    Rules apply to requests that name no priority. `rules.KINDS` says which columns belong to which
    kind; the other columns are empty.
    """

    class Kind(models.TextChoices):
        KEYWORD = "keyword"
        REGEX = "regex", "regular expression"
        LENGTH = "length"
        METADATA = "metadata"

    name = models.CharField(
        max_length=100, unique=True, help_text="Shown as the reason of a request's priority"
    )
    order = models.PositiveIntegerField(default=100, help_text="The lowest that matches decides")
    enabled = models.BooleanField(default=True)
    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="priority_rules",
        help_text="Empty: all tenants",
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    words = models.TextField(
        "keywords",
        blank=True,
        default="",
        help_text="One a line; any of them, whole words, in upper or lower case",
    )
    pattern = models.CharField(
        max_length=rules.LONGEST_PATTERN,
        blank=True,
        default="",
        help_text="RE2 syntax, found anywhere in the text; (?i) in front ignores case",
    )
    min_chars = models.PositiveIntegerField("at least, characters", null=True, blank=True)
    max_chars = models.PositiveIntegerField("at most, characters", null=True, blank=True)
    metadata_key = models.CharField(max_length=100, blank=True, default="")
    metadata_value = models.CharField(
        max_length=200, blank=True, default="", help_text="Empty: the key is there at all"
    )
    level = models.SmallIntegerField("priority", choices=Priority.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["order", "id"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what cannot be matched safely; empty the columns of other kinds."""
        if not self.name.isprintable():
            raise ValidationError({"name": "Only printable characters"})
        self._empty_other_kinds()
        try:
            rules.compiled(self.condition())
        except rules.BadRule as error:
            raise ValidationError({error.field: str(error)}) from None
        if self._state.adding and PriorityRule.objects.count() >= rules.MOST_RULES:
            raise ValidationError({"name": f"There are {rules.MOST_RULES} rules: remove one first"})

    def condition(self) -> rules.Condition:
        return rules.Condition(
            kind=self.kind,
            words=tuple(self.words.splitlines()),
            pattern=self.pattern,
            min_chars=self.min_chars,
            max_chars=self.max_chars,
            metadata_key=self.metadata_key,
            metadata_value=self.metadata_value,
        )

    def _empty_other_kinds(self) -> None:
        kept = rules.KINDS.get(self.kind, ())
        for columns in rules.KINDS.values():
            for column in columns:
                if column not in kept:
                    setattr(self, column, None if column.endswith("_chars") else "")
