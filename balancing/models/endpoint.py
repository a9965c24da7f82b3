"""Which LLM servers are there, and how is each called? One row for each endpoint."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from balancing.models import choices
from balancing.models.empties import OwnEmpties
from balancing.models.fields import limit_a_minute, seconds
from balancing.prices import wrong_prices
from balancing.validators import (
    CREDENTIAL_VARIABLE,
    MOST_ALIASES,
    validate_apis,
    validate_base_url,
    validate_ca_bundle,
    validate_extra_headers,
    validate_finite,
    validate_models,
)
from llmqueue_project.config import configuration


def validate_aliases(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValidationError('A JSON object: {"public name": "the endpoint\'s name"}')
    if len(value) > MOST_ALIASES:
        raise ValidationError(f"At most {MOST_ALIASES} aliases")
    names = [*value.keys(), *value.values()]
    if not all(isinstance(n, str) and 0 < len(n) <= 200 and n.isprintable() for n in names):
        raise ValidationError("Model names are strings of 1 to 200 printable characters")


def validate_prices(value: Any) -> None:
    if reason := wrong_prices(value):
        raise ValidationError(reason)


class Endpoint(OwnEmpties):
    """An LLM server, its models and how much work it takes at once.

    A row with `discover` is not a server but a group. Discovery keeps a row for each member.
    """

    Kind = choices.Kind
    State = choices.State
    ManagedBy = choices.ManagedBy
    Discover = choices.Discover

    name = models.SlugField(max_length=64, unique=True)
    kind = models.CharField(
        max_length=20,
        choices=Kind.choices,
        default=Kind.OPENAI,
        db_default=Kind.OPENAI,
        help_text="The API it speaks. vLLM, SGLang, llama.cpp, Ollama and LM Studio are "
        "OpenAI-compatible",
    )
    base_url = models.CharField(
        max_length=500,
        validators=[validate_base_url],
        help_text="Up to and including the version, for example http://gpu-1:8000/v1",
    )
    model_names: models.JSONField[Any] = models.JSONField(
        "models",
        default=list,
        blank=True,
        validators=[validate_models],
        help_text='For example ["llama-3.1-8b"]; found by itself with "discover models"',
    )
    api_key_variable = models.CharField(
        max_length=100,
        blank=True,
        validators=[RegexValidator(CREDENTIAL_VARIABLE, "Such as LLM_GPU1 or OPENAI_API_KEY")],
        help_text="Name of the workers' environment variable that holds the credential",
    )
    # A Fernet token (balancing/endpoints/credentials.py). No interface ever returns it.
    encrypted_credential = models.TextField(blank=True, default="", db_default="", editable=False)
    credential_ending = models.CharField(
        max_length=4, blank=True, default="", db_default="", editable=False
    )
    credential_set_at = models.DateTimeField(null=True, editable=False)
    apis: models.JSONField[Any] = models.JSONField(
        "APIs",
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        validators=[validate_apis],
        help_text="chat, completion, embedding; empty is what its kind usually serves",
    )
    api_version = models.CharField(
        "API version",
        max_length=40,
        blank=True,
        default="",
        db_default="",
        validators=[RegexValidator(r"\A[A-Za-z0-9.-]+\Z", "Such as 2024-10-21")],
        help_text="Azure: a dated version, empty for the v1 API. Anthropic: anthropic-version",
    )
    extra_headers: models.JSONField[Any] = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        validators=[validate_extra_headers],
        help_text='Sent with every call, for example {"OpenAI-Organization": "org-1"}',
    )
    ca_bundle = models.TextField(
        "CA bundle",
        blank=True,
        default="",
        db_default="",
        validators=[validate_ca_bundle],
        help_text="PEM certificates to trust instead of the system's",
    )
    verify_tls = models.BooleanField(
        "verify TLS",
        default=True,
        db_default=True,
        help_text="Off only where the setting balancing.allow_unverified_tls permits it",
    )
    proxy_url = models.CharField(
        "proxy URL",
        max_length=500,
        blank=True,
        default="",
        db_default="",
        validators=[validate_base_url],
        help_text="An HTTP proxy to call it through, for example http://proxy:3128",
    )
    connect_timeout = seconds("To reach it.")
    first_token_timeout = seconds("Silence of a streamed call before the first byte.")
    stall_timeout = seconds("Silence of a streamed call between two pieces.")
    total_timeout = seconds("A whole call, streamed or not; what is longer counts as a failure.")
    requests_per_minute = limit_a_minute("Further requests wait.")
    tokens_per_minute = limit_a_minute("Estimated at the start of a call, corrected at its end.")
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0.001), validate_finite])
    max_concurrent = models.PositiveIntegerField(default=8, validators=[MinValueValidator(1)])
    state = models.CharField(max_length=10, choices=State.choices, default=State.ENABLED)
    # With a default of the database, too: during an upgrade the previous version still inserts.
    model_aliases: models.JSONField[Any] = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        validators=[validate_aliases],
        help_text='Public name to the endpoint\'s own: {"fast": "llama-3.1-8b-instruct-q4"}',
    )
    prices: models.JSONField[Any] = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        validators=[validate_prices],
        help_text='Per million tokens: {"*": {"input": 0.15, "cached_input": 0.07, "output": 0.6}}',
    )
    discover = models.CharField(
        max_length=4,
        choices=Discover.choices,
        blank=True,
        default=Discover.NO,
        db_default="",
        help_text="DNS: the URL's name is looked up again and again, SRV where it begins with _",
    )
    discover_models = models.BooleanField(
        default=False,
        db_default=False,
        help_text="take the models from its GET /v1/models, again and again",
    )
    managed_by = models.CharField(
        max_length=4,
        choices=ManagedBy.choices,
        blank=True,
        default="",
        db_default="",
        editable=False,
    )
    group = models.ForeignKey(
        "self", models.CASCADE, null=True, editable=False, related_name="members"
    )
    host = models.CharField(
        max_length=260,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="sent instead of the URL's",
    )
    vanished_at = models.DateTimeField(null=True, editable=False)
    refresh_at = models.DateTimeField(null=True, editable=False)
    refreshed_at = models.DateTimeField(null=True, editable=False)
    refresh_error = models.CharField(
        max_length=300, blank=True, default="", db_default="", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check fields that depend on each other.

        Raises:
            ValidationError: by field.
        """
        super().clean()
        able = choices.SUPPORTED.get(self.kind) if isinstance(self.kind, str) else None
        listed = self.apis if isinstance(self.apis, list) else []
        wrong = [str(api) for api in listed if able is not None and api not in [*able]]
        if wrong:
            raise ValidationError(
                {"apis": f"{self.get_kind_display()} serves no {', '.join(wrong)} through llmqueue"}
            )
        if not self.verify_tls and not configuration().balancing.allow_unverified_tls:
            raise ValidationError(
                {"verify_tls": "The setting balancing.allow_unverified_tls does not permit this"}
            )
        if not self.verify_tls and self.ca_bundle:
            raise ValidationError({"ca_bundle": "It has no effect while TLS is not verified"})
        self._clean_models()

    def _clean_models(self) -> None:
        if not self.model_names and not self.discover_models:
            raise ValidationError({"model_names": "List at least one model name"})
        if self.discover_models or not isinstance(self.model_names, list):
            return
        aliases = self.model_aliases if isinstance(self.model_aliases, dict) else {}
        if unlisted := sorted(set(map(str, aliases)) - set(map(str, self.model_names))):
            text = f"Not among the models of this endpoint: {', '.join(unlisted)[:200]}"
            raise ValidationError({"model_aliases": text})
