"""Django's settings, derived from the typed configuration in `config.py`."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from celery.schedules import crontab
from django.urls import reverse_lazy
from kombu.utils.url import parse_ssl_cert_reqs

from llmqueue_project import logging as llmqueue_logging
from llmqueue_project.config import ROOT, configuration
from llmqueue_project.misconfigured import Misconfigured
from llmqueue_project.unfold_site import UNFOLD as UNFOLD
from stores.postgres_address import BadAddress, parameters

try:
    CONFIG = configuration()
except Misconfigured as error:
    # Every program of the project reads this first: a sentence serves where a traceback would not.
    raise SystemExit(f"llmqueue cannot start: {error}") from None

SECRET_KEY = CONFIG.secret_key.get_secret_value()
DEBUG = False
ALLOWED_HOSTS = CONFIG.web.allowed_hosts
CSRF_TRUSTED_ORIGINS = CONFIG.web.csrf_trusted_origins
CSRF_FAILURE_VIEW = "conversations.doors.openai.unknown.form"
DATA_UPLOAD_MAX_MEMORY_SIZE = CONFIG.web.max_body_bytes
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "SAMEORIGIN"
if CONFIG.production:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = CONFIG.web.hsts_seconds
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_prometheus",
    "django_filters",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "conversations",
    "scheduling",
    "balancing",
]

MIDDLEWARE = [
    "llmqueue_project.logging.RequestIdMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "llmqueue_project.security.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "llmqueue_project.security.HostOfPages",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "llmqueue_project.urls"
WSGI_APPLICATION = "llmqueue_project.wsgi.application"
ASGI_APPLICATION = "llmqueue_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def database(url: str, pool_size: int) -> dict[str, Any]:
    """Django's connection settings of a `postgresql://` URL; what else it holds is for libpq."""
    try:
        options = parameters(url)
    except BadAddress as error:
        raise SystemExit(f"llmqueue cannot start: DATABASE_URL: {error}") from None
    named = {
        setting: str(options.pop(parameter, ""))
        for setting, parameter in (
            ("NAME", "dbname"),
            ("USER", "user"),
            ("PASSWORD", "password"),
            ("HOST", "host"),
            ("PORT", "port"),
        )
    }
    options["pool"] = {"min_size": 0, "max_size": pool_size, "timeout": 10, "max_idle": 60}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **named,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


DATABASES = {
    "default": database(CONFIG.database_url.get_secret_value(), CONFIG.web.database_pool_size)
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "conversations.Operator"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# A name and an address together: nobody can lock an operator out from elsewhere.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = CONFIG.web.login_failures
AXES_COOLOFF_TIME = timedelta(seconds=CONFIG.web.login_lockout_seconds)
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "llmqueue_project.security.client_address"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
LOGIN_URL = reverse_lazy("admin:login")

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
# Requests last fractions of a second: admin shows them.
FORMAT_MODULE_PATH = "llmqueue_project.formats"

STATIC_URL = "static/"
_collected = ROOT / "staticfiles"
STATIC_ROOT = _collected if _collected.is_dir() else None
# Static files are served from the packages themselves: no collectstatic step on a laptop.
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "conversations.doors.rest.protocol.authentication.ApiKeyAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["conversations.doors.rest.protocol.authentication.HasApiKey"],
    "DEFAULT_PARSER_CLASSES": ["conversations.doors.rest.protocol.parsers.EnvelopeJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "conversations.doors.rest.protocol.pagination.EnvelopePagination",
    "EXCEPTION_HANDLER": "conversations.doors.rest.protocol.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "llmqueue",
    "DESCRIPTION": "A durable priority queue for LLM requests.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    # What follows it is a resource, and an operation's tag.
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # A request has no read-only fields and takes no unknown ones: it is a shape of its own.
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    # No validator: it is a page of another host.
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "persistAuthorization": True,
        "validatorUrl": None,
    },
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "conversations.doors.openapi.close_requests",
        "conversations.doors.openapi.add_lean_paths",
        "conversations.doors.openapi.add_summaries",
    ],
}


def broker_tls(url: str) -> dict[str, Any] | None:
    """Celery's TLS settings for a `rediss://` URL; None without TLS.

    Celery would verify nothing unless it is told to, and hand the password to any server. The
    URL's own `ssl_ca_certs=/path/of/ca.pem` and its like are for every client.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return None
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    asked = parse_ssl_cert_reqs(given.get("ssl_cert_reqs", "required"))
    checks = given.get("ssl_check_hostname", "true").lower() != "false"
    return {
        **given,
        "ssl_cert_reqs": asked,
        "ssl_check_hostname": checks and asked == ssl.CERT_REQUIRED,
    }


# Celery reads CELERY_* from here (llmqueue_project/celery.py).
CELERY_BROKER_USE_SSL = broker_tls(CONFIG.redis_url.get_secret_value())
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "queue_order_strategy": "scheduling.tickets.order:LevelOrder",
    # Message priority would outrank queue order and multiply the keys by four.
    "priority_steps": [0],
    "visibility_timeout": 3600,
    "socket_connect_timeout": 5,
    # A BRPOP is answered after a second at the latest. When silent for so long, the connection is
    # given up; the hub's thread waits no longer for any other answer.
    "socket_timeout": 5,
    "health_check_interval": 5,
    "socket_keepalive": True,
}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_DEFAULT_QUEUE = "housekeeping"
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = CONFIG.scheduling.worker_concurrency
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONSUMER = "scheduling.tickets.consumer:Consumer"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 0.0
CELERY_TIMEZONE = "UTC"
# In memory: every entry runs again within minutes or the next night, and a damaged file of beat's
# own scheduler ends beat at each start.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "repair-conversations": {"task": "conversations.housekeeping.repair", "schedule": 60.0},
    "age-conversations": {"task": "conversations.age", "schedule": 300.0},
    "purge-dead-letters": {
        "task": "conversations.purge_dead_letters",
        "schedule": crontab(minute="41"),
    },
    "clear-sessions": {
        "task": "conversations.clear_sessions",
        "schedule": crontab(hour="3", minute="17"),
    },
}

LOGGING_CONFIG = None
llmqueue_logging.configure(format=CONFIG.log_format, level=CONFIG.log_level)
