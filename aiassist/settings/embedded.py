"""`make run`: everything in one process tree, data in `var/`."""

import secrets
from pathlib import Path

from aiassist import env
from aiassist.settings.base import *  # noqa: F403
from aiassist.settings.base import DATA_DIR, STORAGES
from aiassist.settings.database import postgres, sqlite


def _kept_secret(name: str) -> str:
    """Return the environment's secret, else one made once and kept in `var/`."""
    if value := env.text(name):
        return value
    file = Path(DATA_DIR) / "secrets" / name.lower()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)  # never to be read by others, not for a moment
        file.write_text(secrets.token_urlsafe(48))
    return file.read_text().strip()


DATABASES = {
    "default": postgres()
    if env.text("DATABASE_URL")
    else sqlite(Path(DATA_DIR) / "db.sqlite3")
}
SECRET_KEY = _kept_secret("SECRET_KEY")
JWT_SECRET = _kept_secret("JWT_SECRET")
API_KEY_PEPPER = _kept_secret("API_KEY_PEPPER")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
QDRANT_EDGE_DIR = Path(DATA_DIR) / "vectors"
EMAIL_BACKEND = "aiassist.mailbox.MailboxBackend"
DEV_MAILBOX = True
# Browsers allow passkeys on plain http for localhost alone.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
ADMIN_REQUIRES_MFA = env.flag("ADMIN_REQUIRES_MFA", False)
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
STREAM_DRAIN_SECONDS = env.integer("STREAM_DRAIN_SECONDS", 1, most=600)
