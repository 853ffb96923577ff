"""Settings of the provider; it shares none with the site."""

import os

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

_SIGN_IN = """<!doctype html><title>Sign in</title><form method="post">{% csrf_token %}
{{ form }}<button type="submit">Sign in at the provider</button></form>"""
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

SECRET_KEY = "of the provider alone"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.browser.provider.urls"
# Cookies do not know ports: the site's have the same host.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "provider", "provider_csrf"
LOGIN_URL = "/sign-in/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["DATABASE"],
    }
}
INSTALLED_APPS = [
    *("django.contrib.auth", "django.contrib.contenttypes"),
    *("django.contrib.sessions", "oauth2_provider"),
]
# The tables as they are now; how they came to be does not matter here.
MIGRATION_MODULES = dict.fromkeys(
    ("auth", "contenttypes", "sessions", "oauth2_provider")
)
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"],
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {"registration/login.html": _SIGN_IN},
                ),
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }
]
OAUTH2_PROVIDER = {
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": os.environ["ISSUER"],
    "OIDC_RSA_PRIVATE_KEY": _KEY.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode(),
    "OAUTH2_VALIDATOR_CLASS": "tests.browser.provider.claims.Validator",
    "PKCE_REQUIRED": True,
    "SCOPES": {"openid": "who you are", "email": "address", "profile": "name"},
}
