"""What may an operator set? Typed settings from the environment and an optional YAML file.

The environment wins over the file (`LLMQUEUE_CONFIG` names it). Nested fields are
written `LLMQUEUE_SCHEDULING__LEASE_SECONDS=10`. Secrets are `SecretStr`, so that a
printed configuration shows stars.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from llmqueue_project.config_sections import (
    BalancingConfig,
    ConversationsConfig,
    DiscoveryConfig,
    SchedulingConfig,
    StreamingConfig,
    WebConfig,
)
from llmqueue_project.misconfigured import problems, refuse_unknown, refuse_unreadable

ROOT = Path(__file__).resolve().parent.parent
STARS = "**********"
# Names that people may give to an endpoint's credential, which the file must not hold.
_ENDPOINT_SECRETS = frozenset({"credential", "api_key", "key", "password", "secret", "token"})
UNSAFE_SECRET = "development-only-secret-key"  # noqa: S105 - refused in production


class Config(BaseSettings):
    """The whole configuration; `configuration()` is the one instance of a process."""

    model_config = SettingsConfigDict(
        env_prefix="LLMQUEUE_",
        env_nested_delimiter="__",
        extra="forbid",
        populate_by_name=True,
        # An empty variable (`NAME=` in a file for compose) says as little as none.
        env_ignore_empty=True,
        # Pydantic's errors would print the values: keys, and URLs with passwords.
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = Field(
        "development", description="`production` refuses unsafe settings and asks for HTTPS cookies"
    )
    secret_key: SecretStr = Field(
        SecretStr(UNSAFE_SECRET),
        description="signs operators' sessions; at least 32 characters in production",
    )
    credential_keys: SecretStr | None = Field(
        None,
        description="Fernet keys that encrypt endpoints' credentials, separated by commas: the "
        "first encrypts, all decrypt; `manage.py credentials new-key` makes one",
    )
    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost:5432/llmqueue"),
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="`postgresql://user:password@host:port/name`, of a cluster "
        "`postgresql://user@h1:5432,h2:5432/name?target_session_attrs=read-write`; its query "
        "goes to libpq",
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Valkey or Redis: `redis://:password@host:port/0`; with TLS "
        "`rediss://…/0?ssl_ca_certs=/path/ca.pem`, the CA only where the system does not know it",
    )
    state_dir: Path = Field(
        ROOT / ".state", description="data of the embedded parts and beat's schedule"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="`json` is one object a line"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="lowest level that is logged"
    )
    metrics_token: SecretStr | None = Field(
        None, description="bearer token that `/metrics` asks for"
    )
    metrics_public: bool = Field(
        False, description="serve `/metrics` without a token, where the network guards it"
    )
    metrics_tenants: bool = Field(
        False, description="`/metrics` names the cost of up to 500 tenants today, one series each"
    )
    worker_metrics_port: int = Field(
        0, ge=0, le=65535, description="where a worker serves Prometheus; 0 is off"
    )
    worker_metrics_host: str = Field(
        "127.0.0.1",
        description="the address it listens on; it asks for no token, so keep it inside",
    )
    flower_internal_url: str = Field(
        "http://127.0.0.1:5555", description="where web finds Flower for `/flower/`"
    )
    default_model: str = Field("", description="model of requests that name none")
    endpoints: list[dict[str, Any]] = Field(
        [],
        description="endpoints to have, each `name`, `base_url`, `models`, ...; applied at start "
        "and by `manage.py endpoints apply`",
    )
    endpoints_file: Path | None = Field(None, description="a YAML file of such endpoints, instead")
    endpoints_prune: bool = Field(
        False, description="at start, delete endpoints that an earlier file made and this has not"
    )
    currency: str = Field(
        "USD", pattern="^[A-Z]{3}$", description="of the endpoints' prices, as ISO 4217 has it"
    )

    web: WebConfig = WebConfig()
    scheduling: SchedulingConfig = SchedulingConfig()
    balancing: BalancingConfig = BalancingConfig()
    conversations: ConversationsConfig = ConversationsConfig()
    discovery: DiscoveryConfig = DiscoveryConfig()
    streaming: StreamingConfig = StreamingConfig()

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("credential_keys")
    @classmethod
    def _are_fernet_keys(cls, value: SecretStr | None) -> SecretStr | None:
        keys = value.get_secret_value() if value else ""
        for key in filter(None, map(str.strip, keys.split(","))):
            try:
                usable = len(urlsafe_b64decode(key)) == 32
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("each key is 32 bytes in URL-safe base64")
        return value

    @field_serializer("endpoints")
    def _without_misplaced_secrets(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Show stars for credentials, which are refused when the endpoints are applied.

        Extra headers are masked, too: they may hold a credential all the same.
        """
        return [{name: _masked(name, content) for name, content in each.items()} for each in value]

    @model_validator(mode="after")
    def _production_is_safe(self) -> Config:
        if not self.production:
            return self
        secret = self.secret_key.get_secret_value()
        if secret == UNSAFE_SECRET or len(secret) < 32:
            raise ValueError("production needs LLMQUEUE_SECRET_KEY of at least 32 characters")
        if "*" in self.web.allowed_hosts:
            raise ValueError("production needs explicit LLMQUEUE_WEB__ALLOWED_HOSTS, not '*'")
        token = self.metrics_token.get_secret_value() if self.metrics_token else ""
        if len(token) < 16 and not self.metrics_public:
            raise ValueError(
                "production needs LLMQUEUE_METRICS_TOKEN of at least 16 characters, or "
                "LLMQUEUE_METRICS_PUBLIC=true where the network already guards /metrics"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = os.environ.get("LLMQUEUE_CONFIG")
        files = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, env_settings, *files)


def _masked(name: str, content: Any) -> Any:
    if name in _ENDPOINT_SECRETS:
        return STARS
    if name == "extra_headers" and isinstance(content, dict):
        return dict.fromkeys(content, STARS)
    return content


@lru_cache(maxsize=1)
def configuration() -> Config:
    """The configuration of this process.

    Raises:
        Misconfigured: a setting is unknown, of the wrong type or unsafe for production.
    """
    refuse_unreadable(os.environ.get("LLMQUEUE_CONFIG"))
    refuse_unknown(Config)
    try:
        return Config()
    except ValidationError as error:
        raise problems(error, Config) from None
