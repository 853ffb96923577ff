"""The suite: real PostgreSQL and Redis, started by tests/conftest.py."""

import os

from aiassist import env
from aiassist.settings.base import *  # noqa: F403
from aiassist.settings.base import DATA_DIR, STORAGES
from aiassist.settings.database import postgres

# Only the type checker's plugin loads these settings without a server.
os.environ.setdefault("DATABASE_URL", "postgresql://127.0.0.1:1/none")

SECRET_KEY = "test-secret-key-of-at-least-32-characters"
JWT_SECRET = "test-jwt-secret-of-at-least-32-characters"
API_KEY_PEPPER = "test-pepper-of-at-least-thirty-two-chars"
DATABASES = {"default": postgres(pool_max=20)}
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
QDRANT_EDGE_DIR = DATA_DIR / "vectors"
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
DEV_MAILBOX = False
ADMIN_REQUIRES_MFA = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A record is there as soon as its call has ended; tests of batches say otherwise.
USAGE_WRITE_SECONDS = env.integer("USAGE_WRITE_SECONDS", 0)
CATALOGUE_CACHE_SECONDS = 0.0  # rows change from test to test
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
