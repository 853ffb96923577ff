"""Compose and Kubernetes: real servers, and no start without real secrets."""

from aiassist import env
from aiassist.settings.base import *  # noqa: F403
from aiassist.settings.base import TRUSTED_PROXIES, WAYS_OF_NEW_APPS
from aiassist.settings.database import postgres
from aiassist.settings.logging import logging_config

# Their defaults suit one machine; here they would hide a forgotten setting.
env.required("DATABASE_URL", "REDIS_URL", "QDRANT_URL", "ALLOWED_HOSTS")

DEBUG = False
SECRET_KEY = env.secret("SECRET_KEY")
JWT_SECRET = env.secret("JWT_SECRET")
API_KEY_PEPPER = env.secret("API_KEY_PEPPER")
DATABASES = {"default": postgres()}
QDRANT_EDGE_DIR = None
DEV_MAILBOX = False
ADMIN_REQUIRES_MFA = env.flag("ADMIN_REQUIRES_MFA", True)
NEW_APPS = env.choice("NEW_APPS", "any", among=WAYS_OF_NEW_APPS)

EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = env.text("SMTP_HOST", "localhost")
EMAIL_PORT = env.integer("SMTP_PORT", 587)
EMAIL_HOST_USER = env.text("SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("SMTP_PASSWORD")
EMAIL_USE_TLS = EMAIL_PORT == 587  # asked for once connected
EMAIL_USE_SSL = EMAIL_PORT == 465  # from the first byte
EMAIL_TIMEOUT = 10

if TRUSTED_PROXIES:
    # Believed from a proxy of ours only; anyone else could write it.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = 31536000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
if SECURE_SSL_REDIRECT:
    # Browsers take these names over TLS alone, and from this very host, not from a
    # neighbour under the same domain.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"

LOGGING = logging_config(lines="JsonLines")
