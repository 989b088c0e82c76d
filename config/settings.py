"""All settings, in sections named after the apps. `.env.example` says what each one does."""

from pathlib import Path

import environ
from django.utils.csp import CSP

from config import env, logs
from config.kit.db import KEEPALIVE

BASE_DIR = Path(__file__).resolve().parent.parent

# Core

DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY")
ALLOWED_HOSTS = list(env.words("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]")))
BASE_URL = env.url("BASE_URL", "http://localhost:8000", schemes=("http", "https"))
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
LOGGING = logs.logging_config(as_json=env.flag("LOG_JSON", default=not DEBUG))

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "config",
    "paywalls",
    "ledger",
    "billing",
    "providers",
    "proxy",
    "dashboard",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.csp",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Storage

DATABASE_URL = env.url(
    "DATABASE_URL",
    "postgresql://paywalls_app@127.0.0.1:5432/paywalls",
    schemes=("postgresql", "postgres"),
)
# The owner of the tables; only `manage.py migrate` connects as it.
DATABASE_OWNER_URL = env.url("DATABASE_OWNER_URL", DATABASE_URL, schemes=("postgresql", "postgres"))
# LISTEN needs a session of its own, which a pooler in front of DATABASE_URL does not give.
DATABASE_DIRECT_URL = env.url(
    "DATABASE_DIRECT_URL", DATABASE_URL, schemes=("postgresql", "postgres")
)
# No CONN_MAX_AGE: under ASGI every page has a thread of its own, and a connection kept open would
# wait for the garbage collector, until the database has no more to give.
DATABASES = {"default": environ.Env.db_url_config(DATABASE_URL)}
DATABASES["default"]["OPTIONS"] = {**KEEPALIVE, **DATABASES["default"].get("OPTIONS", {})}
DB_POOL_SIZE = env.whole("DB_POOL_SIZE", 4, least=1)

REDIS_URL = env.url("REDIS_URL", "redis://127.0.0.1:6379/0", schemes=("redis", "rediss", "unix"))
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL},
}

# Static files

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# An image has them collected, under names that change with their content; a clone has not.
_COLLECTED = BASE_DIR / "staticfiles"
_IS_COLLECTED = _COLLECTED.is_dir()
STATIC_ROOT = _COLLECTED if _IS_COLLECTED else None
WHITENOISE_USE_FINDERS = not _IS_COLLECTED
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if _IS_COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}

# Security

AUTH_USER_MODEL = "paywalls.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ENCRYPTION_KEYS = env.secrets("ENCRYPTION_KEYS")
KEY_PEPPERS = env.versioned_secrets("KEY_PEPPERS")

IS_HTTPS = BASE_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [BASE_URL]
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = IS_HTTPS
LANGUAGE_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# A POST's redirect to Stripe counts as a form action too.
_FORM_TARGETS: list[str] = [
    CSP.SELF,
    "https://billing.stripe.com",
    "https://checkout.stripe.com",
    "https://connect.stripe.com",
]
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "connect-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "form-action": _FORM_TARGETS,
    "frame-ancestors": [CSP.NONE],
    "img-src": [CSP.SELF, "data:"],
    "manifest-src": [CSP.SELF],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
}

# Mail

MAILERS = env.mailers("MAIL_URL")
DEFAULT_FROM_EMAIL = env.text("MAIL_FROM", "paywalls@localhost")
# Mail to a page that everybody can read; a start-up check refuses it outside one's own machine.
DEMO_MAILBOX = env.flag("DEMO_MAILBOX", default=False)
if DEMO_MAILBOX:
    MAILERS = {"default": {"BACKEND": "dashboard.mailbox.Mailbox"}}

# People with a wallet of their own (Shared mode)

# The one currency of their wallets, and of every Shared paywall.
PLATFORM_CURRENCY = env.text("PLATFORM_CURRENCY", "USD")
TERMS_URL = env.url("TERMS_URL", "", schemes=("http", "https"))
TERMS_VERSION = env.text("TERMS_VERSION", "1")
CONTACT_EMAIL = env.text("CONTACT_EMAIL")
WALLET_MOST = env.whole("WALLET_MOST", 0)

# Celery: a task is a hint, the row in Postgres is the truth.

TASK_SECONDS_MAX = 600
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Longer than any task runs: a shorter one hands a running task to a second worker.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 2 * TASK_SECONDS_MAX}
CELERY_TASK_TIME_LIMIT = TASK_SECONDS_MAX
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# Billing

HOLD_LEASE_S = env.whole("HOLD_LEASE_S", 30, least=2)
HOLD_HEARTBEAT_S = env.seconds("HOLD_HEARTBEAT_S", 2)

# Another address than Stripe's own, for a stand-in; its pages stand there as well.
STRIPE_API_BASE = env.url("STRIPE_API_BASE", "", schemes=("http", "https"))
if STRIPE_API_BASE:
    _FORM_TARGETS.append(STRIPE_API_BASE)

# Providers

EGRESS_ALLOW = env.networks("EGRESS_ALLOW")
# What Shared paywalls without a connection of their own use, paid by the operator.
BUILT_IN_PROVIDER = env.choice("BUILT_IN_PROVIDER", "", choices=("", "openrouter", "demo"))
BUILT_IN_KEY = env.text("BUILT_IN_KEY")
DEMO_PROVIDER_URL = env.url("DEMO_PROVIDER_URL", "", schemes=("http", "https"))
UPSTREAM_CONNECT_S = env.seconds("UPSTREAM_CONNECT_S", 5)
UPSTREAM_FIRST_BYTE_S = env.seconds("UPSTREAM_FIRST_BYTE_S", 60)
UPSTREAM_IDLE_S = env.seconds("UPSTREAM_IDLE_S", 60)
UPSTREAM_TOTAL_S = env.seconds("UPSTREAM_TOTAL_S", 900)

# Proxy

SNAPSHOT_TTL_S = env.seconds("SNAPSHOT_TTL_S", 30)
REQUEST_BODY_BYTES_MAX = env.whole("REQUEST_BODY_BYTES_MAX", 10 * env.MEBIBYTE, least=1)
DRAIN_S = env.seconds("DRAIN_S", 30)
METRICS_TOKEN = env.text("METRICS_TOKEN")
