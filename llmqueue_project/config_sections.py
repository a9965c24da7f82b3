"""The sections of the configuration: what operators may set of each part, with its meaning.

`describe_config` writes docs/configuration.md from the descriptions.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of the configuration; a name that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class WebConfig(Section):
    """The doors."""

    allowed_hosts: list[str] = Field(
        ["localhost", "127.0.0.1", "[::1]"],
        description="host names of admin, Flower and other pages; `/v1`, REST and `/metrics` are "
        "called by any name",
    )
    csrf_trusted_origins: list[str] = Field(
        [], description='origins of admin, for example `["https://llm.example.com"]`'
    )
    max_body_bytes: int = Field(
        50 * 1024 * 1024,
        gt=0,
        description="largest request body, decompressed; a proxy in front needs the same or more",
    )
    max_content_chars: int = Field(200_000, gt=0, description="longest message on `/api/v1`")
    key_cache_seconds: float = Field(
        5.0,
        ge=0,
        description="how long a verified API key is remembered, and so works after it was revoked",
    )
    rule_cache_seconds: float = Field(
        5.0, ge=0, description="how old a web process's list of priority rules may be"
    )
    database_pool_size: int = Field(8, gt=0, description="connections of a web process")
    hsts_seconds: int = Field(
        31_536_000,
        ge=0,
        description="in production, browsers that came by HTTPS ask for nothing else this long; "
        "0 is off",
    )
    login_failures: int = Field(
        8,
        ge=1,
        description="wrong passwords for one operator from one address until both must wait",
    )
    login_lockout_seconds: float = Field(900.0, gt=0, description="how long they wait")
    trusted_proxies: int = Field(
        0,
        ge=0,
        description="number of proxies in front that append to `X-Forwarded-For`; the login limit "
        "takes a client's address from the entry of the outermost",
    )
    comment_seconds: float = Field(1.0, gt=0, description="between two SSE position comments")
    early_headers_seconds: float = Field(
        0.0,
        ge=0,
        description="an answer of `/v1` that is not streamed begins at the latest after this, with"
        " status 200 and white space; 0 is never. Clients choose by `X-Early-Headers`",
    )
    shutdown_accept_seconds: float = Field(
        5.0,
        ge=0,
        description="after SIGTERM, `/health/ready` says 503 and requests are still taken for so"
        " long, so that balancers see it",
    )
    shutdown_grace_seconds: float = Field(
        30.0,
        ge=0,
        description="so long after that, running answers go on; the rest ends with an error."
        " granian's `--workers-kill-timeout` is to be longer than both together",
    )


class LevelConfig(Section):
    """One priority level."""

    max_concurrent: int = Field(
        0, ge=0, description="most slots the level may hold over all workers; 0 is no limit"
    )


class SchedulingConfig(Section):
    """When a request runs."""

    lease_seconds: float = Field(
        30.0, gt=0, description="a worker's right to a job; a dead worker's jobs wait this long"
    )
    heartbeat_seconds: float = Field(
        10.0, gt=0, description="between two renewals; at most half of the lease"
    )
    sweep_seconds: float = Field(
        1.0, gt=0, description="between two sweeps: lost leases, missing tickets, deadlines"
    )
    max_attempts: int = Field(
        3, ge=1, le=20, description="tries of a job before it is a dead letter"
    )
    dead_letter_days: float = Field(
        30.0, ge=0, description="dead letters are removed after this; 0 keeps them"
    )
    default_timeout_seconds: float = Field(
        570.0,
        gt=0,
        description="from submit to answer, when the client names no timeout; less than the 600 s"
        " after which OpenAI's SDKs give up and ask again",
    )
    max_timeout_seconds: float = Field(
        86_400.0, gt=0, description="longest timeout a client may ask for"
    )
    shutdown_grace_seconds: float = Field(
        30.0,
        ge=0,
        description="time for running requests after SIGTERM; the rest goes back to the queue",
    )
    worker_concurrency: int = Field(
        100,
        gt=0,
        description="requests a worker process carries at once; at least the slots it should fill",
    )
    database_pool_size: int = Field(4, gt=0, description="connections of a worker process")
    level_policy: str = Field(
        "scheduling.policies.levels.Floors", description="dotted path of the order between levels"
    )
    floors: dict[str, float] = Field(
        {"high": 0.20, "normal": 0.15, "low": 0.10},
        description="share of picks that a level is sure of while it has work",
    )
    levels: dict[str, LevelConfig] = Field(
        {},
        description='limits of single levels: `{"low": {"max_concurrent": 4}}` leaves it at most'
        " four slots over all workers",
    )
    capacity_strategy: str = Field(
        "static",
        description="how levels share the slots: `static` (their own limits), `dynamic` (by"
        " backlog), `adaptive` (own limits, scaled by learned ones), `hybrid` (both),"
        " or a dotted path",
    )
    capacity_seconds: float = Field(
        2.0, gt=0, description="how often each worker works out the levels' shares again"
    )
    max_wait: dict[str, float] = Field(
        {"realtime": 3.0, "high": 30.0, "normal": 120.0, "low": 600.0},
        description="seconds: a request that could not expect to start within them is refused",
    )
    max_queued: int = Field(
        1_000_000, gt=0, description="hard cap on waiting requests, batches included"
    )
    max_queued_bytes: int = Field(
        8 * 1024**3, gt=0, description="hard cap on the bodies of waiting requests, estimated"
    )
    maintenance_retry_seconds: float = Field(
        30.0, gt=0, description="`Retry-After` while intake is paused"
    )
    flow_by: Literal["tenant", "user"] = Field(
        "tenant", description="whom fairness within a level is between"
    )
    default_output_tokens: int = Field(
        256, gt=0, description="expected length of an answer until a model's have been seen"
    )
    retry_base_seconds: float = Field(
        0.5, gt=0, description="first step of the backoff (full jitter)"
    )
    retry_cap_seconds: float = Field(30.0, gt=0, description="longest backoff")
    retry_budget_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="retries without delay that an endpoint's failures may cause, by its calls",
    )
    retry_budget_per_second: float = Field(
        10.0,
        ge=0,
        description="so many more retries each second and worker; all beyond them are put off",
    )
    retry_budget_longest_seconds: float = Field(
        60.0, gt=0, description="longest time for which a spent budget puts a retry off"
    )
    gear: Literal["task", "direct"] = Field(
        "direct",
        description="how tickets reach the engine: `task` through Celery's pool, `direct` past it",
    )

    @model_validator(mode="after")
    def _heartbeat_fits_the_lease(self) -> SchedulingConfig:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("heartbeat_seconds must be at most half of lease_seconds")
        if sum(self.floors.values()) > 1:
            raise ValueError("floors must sum to at most 1")
        if any(seconds <= 0 for seconds in self.max_wait.values()):
            raise ValueError("max_wait must be above 0")
        return self


class BalancingConfig(Section):
    """Where a request runs. Timeouts are in seconds."""

    profile: str = Field(
        "balancing.policies.profiles.expected_work",
        description="dotted path of the choice among endpoints with room",
    )
    profile_modules: list[str] = Field(
        ["balancing.policies.profiles"],
        description="modules whose profiles a model pool may name; nothing else is imported",
    )
    connect_timeout: float = Field(5.0, gt=0, description="to reach an endpoint")
    first_token_timeout: float = Field(
        300.0,
        gt=0,
        description="silence of a streamed call before the first byte; one that is not streamed may"
        " be silent until its deadline",
    )
    stall_timeout: float = Field(
        300.0,
        gt=0,
        description="silence of a streamed call between two pieces; any byte, a ping too, ends it",
    )
    total_timeout: float = Field(
        86_400.0,
        gt=0,
        description="a whole call, streamed or not; what is longer counts as the endpoint's failure"
        " (the request's own deadline never does)",
    )
    largest_answer_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1024 * 1024,
        description="an answer above it fails, and is not retried",
    )
    reservation_seconds: float = Field(
        2.0, gt=0, description="room is reserved this long between looking and claiming"
    )
    registry_seconds: float = Field(
        2.0, gt=0, description="how old a process's list of endpoints may be"
    )
    failure_cooldown_seconds: float = Field(
        5.0, ge=0, description="an endpoint that failed is avoided this long"
    )
    default_max_tokens: int = Field(
        8192,
        gt=0,
        description="longest answer of a request that names none, where the provider wants a limit",
    )
    allow_link_local: bool = Field(
        False,
        description="endpoints may have link-local addresses, where clouds keep credentials",
    )
    allow_unverified_tls: bool = Field(
        False, description="endpoints may be called without verifying their certificates"
    )
    refresh_seconds: float = Field(
        0.5, gt=0, description="how old a worker's view of speeds, limits and health may be"
    )
    ejection_failures: int = Field(
        5, ge=1, description="failures in a row after which an endpoint gets no work for a while"
    )
    ejection_seconds: float = Field(
        30.0, gt=0, description="the first ejection; the next in short succession last longer"
    )
    ejection_share: float = Field(
        0.5, ge=0, le=1, description="most of the endpoints of a model that may be ejected at once"
    )
    learn_limits: bool = Field(
        False,
        description="give an endpoint fewer slots while it finishes more tokens a second so;"
        " false: always `max_concurrent`",
    )
    probe_seconds: float = Field(
        10.0, ge=0, description="between two health probes of an endpoint; 0 turns probing off"
    )
    probe_timeout: float = Field(3.0, gt=0, description="a probe that takes longer has failed")
    unhealthy_after: int = Field(3, ge=1, description="failed probes in a row")
    healthy_after: int = Field(2, ge=1, description="answered probes in a row")
    hedge_share: float = Field(
        0.03, ge=0, le=1, description="most second calls, by requests; 0 turns hedging off"
    )
    hedge_factor: float = Field(
        3.0, ge=1, description="a first token is overdue after its usual time, so many times, plus"
    )
    hedge_extra_seconds: float = Field(2.0, ge=0, description="so many seconds")
    hedge_levels: list[str] = Field(
        ["realtime", "high"], description="priority levels whose requests are hedged"
    )


class DiscoveryConfig(Section):
    """Endpoints and models that appear and vanish by themselves."""

    dns_seconds: float = Field(
        10.0, gt=0, description="between two lookups of an endpoint whose `discover` is `dns`"
    )
    models_seconds: float = Field(
        30.0, gt=0, description="between two `GET /v1/models` of one that discovers its models"
    )
    timeout_seconds: float = Field(5.0, gt=0, description="for one lookup or one list")
    linger_seconds: float = Field(
        60.0,
        ge=0,
        description="a vanished address is kept at least this long, draining, and may return",
    )
    dns_addresses: Literal["prefer_ipv4", "ipv4", "ipv6", "all"] = Field(
        "prefer_ipv4",
        description="addresses that count where a name has both kinds; `all` counts a dual-stack "
        "server twice",
    )


class ConversationsConfig(Section):
    """What of a conversation is sent with its next message. Tokens are estimates."""

    context_tokens: int = Field(
        32_768, ge=256, description="a model's context: prompt and answer together"
    )
    model_context_tokens: dict[str, int] = Field(
        {}, description='of single models, for example `{"smollm2": 2048}`'
    )
    answer_tokens: int = Field(
        1024, ge=0, description="left for the answer; never more than half of the context"
    )
    truncation: Literal["drop_oldest", "keep_first_and_last", "refuse"] = Field(
        "drop_oldest", description="what becomes of turns that do not fit"
    )
    idle_minutes: float = Field(
        30.0, gt=0, description="a conversation without a message turns inactive after this"
    )


class StreamingConfig(Section):
    """How deltas travel from a worker to a client."""

    flush_seconds: float = Field(
        0.025, gt=0, description="deltas of this span travel together; the first goes at once"
    )
    max_entries: int = Field(20_000, gt=0, description="entries kept of one answer's live stream")
    expiry_seconds: int = Field(3600, gt=0, description="live streams are forgotten after this")
