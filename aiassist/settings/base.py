"""What every way of running shares. Settings import no app.

`embedded` is `make run`, `production` is compose and Kubernetes, `test` is the suite.
"""

from pathlib import Path

from aiassist import __version__, env
from aiassist.settings.auth import *  # noqa: F403
from aiassist.settings.auth import SIGN_IN_ORIGINS
from aiassist.settings.billing import *  # noqa: F403
from aiassist.settings.celery import *  # noqa: F403
from aiassist.settings.cors import *  # noqa: F403
from aiassist.settings.git import *  # noqa: F403
from aiassist.settings.logging import LOGGING as LOGGING
from aiassist.settings.providers import *  # noqa: F403
from aiassist.settings.qdrant import *  # noqa: F403
from aiassist.settings.staff import *  # noqa: F403
from aiassist.settings.webhooks import *  # noqa: F403

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = env.path("DATA_DIR", BASE_DIR / "var")
VERSION = __version__
API_VERSION = env.text("API_VERSION", "v1")

DEBUG = env.flag("DEBUG", False)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
# How many proxies of ours stand in front; X-Forwarded-For is read from the right.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0, most=10)
RATE_LIMIT_ENABLED = env.flag("RATE_LIMIT_ENABLED", True)
ANALYTICS_ENABLED = env.flag("ANALYTICS_ENABLED", True)
PROMETHEUS_ENABLED = env.flag("PROMETHEUS_ENABLED", True)
# Opens /metrics and /health/detailed; unset: private addresses, no proxies.
METRICS_TOKEN = env.text("METRICS_TOKEN")
# Where a Celery worker shows its own numbers; 0: nowhere.
WORKER_METRICS_PORT = env.integer("WORKER_METRICS_PORT", 0, most=65535)
SENTRY_DSN = env.url("SENTRY_DSN", schemes=("https", "http"))
QUERY_CONTENT_POLICY = env.choice(
    "QUERY_CONTENT_POLICY", "reject", among=("reject", "allow")
)

INSTALLED_APPS = [
    "accounts",
    "billing",
    "workspaces",
    "assistant",
    "aiassist",
    "unfold.apps.BasicAppConfig",
    "accounts.admin_apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.idp.oidc",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.microsoft",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "corsheaders",
    "csp",
    "django_htmx",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "aiassist.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "aiassist.middleware.StaticFilesMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "csp.middleware.CSPMiddleware",
    "aiassist.middleware.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.signing_in.middleware.SessionActivityMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.impersonation.ImpersonationMiddleware",
    "aiassist.idempotency.IdempotencyMiddleware",
    "aiassist.error_pages.AppErrorPages",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

if not PROMETHEUS_ENABLED:
    MIDDLEWARE = [name for name in MIDDLEWARE if "prometheus" not in name]

ROOT_URLCONF = "aiassist.urls"
ASGI_APPLICATION = "aiassist.asgi.application"
CSRF_FAILURE_VIEW = "aiassist.error_pages.csrf_failure"
WSGI_APPLICATION = "aiassist.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aiassist.context_processors.site",
            ],
        },
    }
]

LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = ["aiassist.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = env.path("STATIC_ROOT", DATA_DIR / "static")
STATICFILES_DIRS: list[object] = [
    BASE_DIR / "static",
    ("docs", BASE_DIR / "docs" / "img"),  # the guides' pictures
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "aiassist <noreply@localhost>")

# Uploads stream to disk; the tier's own limits are judged while they are read.
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 2000

REDIS_URL = env.url(
    "REDIS_URL", "redis://127.0.0.1:6379/0", schemes=("redis", "rediss", "unix")
)
REDIS_TIMEOUT_SECONDS = 0.5
CACHES = {
    "default": {
        "BACKEND": "aiassist.lib.cache.FallbackRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "KEY_FUNCTION": "aiassist.lib.cache.make_key",
        "OPTIONS": {
            "socket_timeout": REDIS_TIMEOUT_SECONDS,
            "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
        },
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["aiassist.api.authentication.PrincipalAuth"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["aiassist.api.parsers.TextJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "aiassist.api.negotiation.KnownFormats",
    "DEFAULT_SCHEMA_CLASS": "aiassist.api.operations.Operation",
    "DEFAULT_PAGINATION_CLASS": "aiassist.api.pagination.NewestFirst",
    "EXCEPTION_HANDLER": "aiassist.api.problems.problem_response",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "aiassist",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Several shapes have a field called `status`.
    "ENUM_NAME_OVERRIDES": {
        "KeyStatusEnum": ["active", "expired", "revoked"],
        "UsageStatusEnum": ["ok", "error", "cancelled", "abandoned"],
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "aiassist.api.document.complete",
    ],
}

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'", *SIGN_IN_ORIGINS],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
