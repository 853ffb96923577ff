"""C4: production refuses to start half-configured, and is tight when it starts."""

import json
import subprocess
from collections.abc import Mapping

import pytest

from tests.support.processes import ROOT, python
from tests.support.production import ADDRESSES, SECRETS, production_env

SHOWN = (
    "import json, django; django.setup();"
    "from django.conf import settings as s;"
    "print(json.dumps({k: getattr(s, k, None) for k in %r}))"
)


def boot(env: Mapping[str, str], code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        python("-c", code),
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("name", [*SECRETS, *ADDRESSES])
def test_c4_it_refuses_to_start_without(name: str):
    ended = boot(production_env(**{name: ""}), "import aiassist.settings.production")

    assert ended.returncode != 0
    assert f"ImproperlyConfigured: {name} must be set" in ended.stderr


@pytest.mark.parametrize("name", SECRETS)
def test_c4_it_refuses_a_secret_that_is_none(name: str):
    value = "changeme-changeme-changeme-changeme-changeme"
    ended = boot(production_env(**{name: value}), "import aiassist.settings.production")

    assert ended.returncode != 0
    assert f"ImproperlyConfigured: {name} must be set" in ended.stderr
    assert value not in ended.stderr.splitlines()[-1]


def test_c4_the_deployment_check_is_clean():
    ended = subprocess.run(
        python("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        env=production_env(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    assert "no issues" in ended.stdout


@pytest.mark.parametrize(
    ("port", "starts_tls", "is_tls"), [(587, True, False), (465, False, True)]
)
def test_mail_is_encrypted_as_its_port_wants_it(port, starts_tls, is_tls):
    names = ["EMAIL_USE_TLS", "EMAIL_USE_SSL"]
    ended = boot(production_env(SMTP_PORT=str(port)), SHOWN % names)

    assert list(json.loads(ended.stdout).values()) == [starts_tls, is_tls]


def test_cookies_and_transport_are_secure_in_production():
    names = [
        *("DEBUG", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"),
        *("SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_HTTPONLY"),
        *("ADMIN_REQUIRES_MFA", "DEV_MAILBOX", "SECURE_PROXY_SSL_HEADER"),
        *("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"),
    ]
    ended = boot(production_env(), SHOWN % names)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "DEBUG": False,
        "DEV_MAILBOX": False,
        "ADMIN_REQUIRES_MFA": True,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SECURE": True,
        "SECURE_SSL_REDIRECT": True,
        "SECURE_HSTS_SECONDS": 31536000,
        "SECURE_PROXY_SSL_HEADER": None,
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
    }


def test_the_forwarded_scheme_is_believed_behind_a_proxy_of_ours_only():
    ended = boot(
        production_env(TRUSTED_PROXIES="1"), SHOWN % ["SECURE_PROXY_SSL_HEADER"]
    )

    assert json.loads(ended.stdout) == {
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"]
    }


def test_a_web_process_loads_what_it_serves_before_its_first_request():
    """Else the first one waits, and what is broken shows only then."""
    served = ["qdrant_client", "workspaces.api.views", "assistant.mcp.views"]
    ended = boot(
        production_env(),
        "import json, sys, aiassist.asgi;"
        f"print(json.dumps([name in sys.modules for name in {served}]))",
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [True] * len(served)


def test_debug_cannot_be_switched_on_in_production():
    ended = boot(production_env(DEBUG="true"), SHOWN % ["DEBUG"])

    assert json.loads(ended.stdout) == {"DEBUG": False}
