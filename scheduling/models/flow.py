"""Flows, and where each flow and each level stands in virtual time."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from balancing.models import validate_finite
from scheduling.models.enums import Priority
from scheduling.policies.fairness import LEAST_WEIGHT


class Flow(models.Model):
    """A party that fairness treats as one: a tenant, or a tenant's user (setting `flow_by`)."""

    key = models.CharField(max_length=200, unique=True)
    name = models.CharField(max_length=200)
    weight = models.FloatField(
        default=1.0, validators=[MinValueValidator(LEAST_WEIGHT), validate_finite]
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class FlowTag(models.Model):
    """Where a flow stands at one level: the virtual finish of its last job, in cost units."""

    pk = models.CompositePrimaryKey("flow_id", "level")
    flow = models.ForeignKey(Flow, models.CASCADE, related_name="tags", db_constraint=False)
    level = models.SmallIntegerField(choices=Priority.choices)
    last_finish = models.FloatField(default=0.0)
    settled = models.FloatField(
        default=0.0, db_default=0.0, help_text="actual minus estimated cost so far, by weight"
    )


class OutputEstimate(models.Model):
    """The learned length of a flow's answers from a model, in tokens (`policies/estimates.py`)."""

    pk = models.CompositePrimaryKey("flow_id", "model")
    flow = models.ForeignKey(
        Flow, models.CASCADE, related_name="estimates", db_constraint=False, db_index=False
    )
    model = models.CharField(max_length=200)
    mean = models.FloatField(default=0.0)
    samples = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField()


class LevelClock(models.Model):
    """The virtual clock of a level: the highest fair tag claimed so far, in cost units."""

    level = models.SmallIntegerField(primary_key=True, choices=Priority.choices)
    virtual_time = models.FloatField(default=0.0)
