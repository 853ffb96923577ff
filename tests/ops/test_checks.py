"""Misconfiguration is named, with a hint."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from aiassist import checks
from aiassist.checks import (
    embedding_model_is_there,
    foreign_origins_are_named,
    hosts_are_named,
    secrets_differ,
    signing_key_is_rsa,
)
from aiassist.lib import tokens


def ids(messages: Any) -> list[str]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def test_the_installed_model_is_found(settings: Any):
    settings.EMBEDDING_MODEL_PATH = ""

    assert ids(embedding_model_is_there()) == []


def test_an_incomplete_model_folder_is_named(settings: Any, tmp_path: Path):
    settings.EMBEDDING_MODEL_PATH = str(tmp_path)
    (tmp_path / "tokenizer.json").touch()

    messages = embedding_model_is_there()

    assert ids(messages) == ["aiassist.E001"]
    assert messages[0].msg == "EMBEDDING_MODEL_PATH lacks model.safetensors."


def test_a_complete_model_folder_passes(settings: Any, tmp_path: Path):
    settings.EMBEDDING_MODEL_PATH = str(tmp_path)
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "model.safetensors").touch()

    assert ids(embedding_model_is_there()) == []


def test_one_secret_for_everything_is_warned_about(settings: Any):
    assert ids(secrets_differ()) == []

    settings.JWT_SECRET = settings.SECRET_KEY

    assert ids(secrets_differ()) == ["aiassist.W001"]


def test_a_wildcard_host_is_warned_about(settings: Any):
    assert ids(hosts_are_named()) == []

    settings.ALLOWED_HOSTS = ["*"]

    assert ids(hosts_are_named()) == ["aiassist.W002"]


def test_a_foreign_origin_without_tls_is_warned_about(settings: Any):
    settings.CORS_ALLOWED_ORIGINS = ["https://a.test", "http://localhost:3000"]
    assert ids(foreign_origins_are_named()) == []

    settings.CORS_ALLOWED_ORIGINS = ["http://a.test"]

    assert ids(foreign_origins_are_named()) == ["aiassist.W003"]


def test_a_model_that_was_not_installed_is_named(settings: Any, monkeypatch: Any):
    settings.EMBEDDING_MODEL_PATH = ""
    for module in (checks, tokens):
        monkeypatch.setattr(module, "_MODEL_PACKAGE", "nobody_has_this_package")

    messages = embedding_model_is_there()

    assert ids(messages) == ["aiassist.E001"]
    assert "requirements-model.txt" in str(messages[0].hint)
    with pytest.raises(ImproperlyConfigured, match="requirements-model.txt"):
        tokens.model_folder()


def test_a_signing_key_that_is_none_is_named(settings):
    assert signing_key_is_rsa() == []
    settings.IDP_OIDC_PRIVATE_KEY = "not a key"
    assert ids(signing_key_is_rsa()) == ["aiassist.E002"]
