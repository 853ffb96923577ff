"""A bad value in the environment stops the start and names itself, never its value."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from aiassist import env
from tests.ops.test_production_settings import SHOWN, boot
from tests.support.production import production_env


@pytest.mark.parametrize(
    ("read", "bad", "wanted"),
    [
        (lambda: env.flag("X", True), "maybe", "true or false"),
        (lambda: env.integer("X", 5, least=1, most=9), "ten", "from 1 to 9"),
        (lambda: env.integer("X", 5, least=1, most=9), "10", "from 1 to 9"),
        (lambda: env.url("X", schemes=("https",)), "canary:pw@host", "https"),
        (lambda: env.choice("X", "a", among=("a", "b")), "c", "one of a, b"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any], bad: str, wanted: str
):
    monkeypatch.setenv("X", bad)

    with pytest.raises(ImproperlyConfigured, match=f"^X must be .*{wanted}") as caught:
        read()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "given", "value"),
    [
        (lambda: env.flag("X", False), " On ", True),
        (lambda: env.flag("X", True), "0", False),
        (lambda: env.integer("X", 5, least=1, most=9), "9", 9),
        (lambda: env.url("X", schemes=("https",)), "https://a/b/", "https://a/b"),
        (lambda: env.choice("X", "a", among=("a", "b")), "b", "b"),
        (lambda: env.choice("X", "a", among=("a", "b")), " ", "a"),
    ],
)
def test_a_good_value_is_read_and_an_empty_one_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any], given: str, value: Any
):
    monkeypatch.setenv("X", given)

    assert read() == value


@pytest.mark.parametrize(
    "value", ["", "short", "changeme" * 5, "Change-me-" * 5, "insecure" * 8]
)
def test_c4_a_placeholder_is_no_secret(monkeypatch: pytest.MonkeyPatch, value: str):
    monkeypatch.setenv("X", value)

    with pytest.raises(ImproperlyConfigured, match="^X must be set") as caught:
        env.secret("X")
    assert not value or value not in str(caught.value)


def test_prometheus_can_be_switched_off():
    shown_pages = (
        ";from aiassist.health import urlpatterns;"
        "print(*(pattern.name for pattern in urlpatterns))"
    )
    ended = boot(
        production_env(PROMETHEUS_ENABLED="false"), SHOWN % ["MIDDLEWARE"] + shown_pages
    )

    assert ended.returncode == 0, ended.stderr
    shown, pages = ended.stdout.splitlines()
    assert not any("prometheus" in name for name in json.loads(shown)["MIDDLEWARE"])
    assert pages == "health health-detailed"


def test_make_run_keeps_a_secret_of_its_own_unless_one_is_given(tmp_path: Any):
    embedded = production_env(
        DJANGO_SETTINGS_MODULE="aiassist.settings.embedded",
        DATABASE_URL="",
        DATA_DIR=str(tmp_path),
        JWT_SECRET="",
    )
    code = SHOWN.replace("django.setup();", "") % ["SECRET_KEY", "JWT_SECRET"]
    first, second = (json.loads(boot(embedded, code).stdout) for _ in range(2))

    assert first == second
    assert first["SECRET_KEY"] == embedded["SECRET_KEY"]
    assert len(first["JWT_SECRET"]) >= 32
    assert [file.name for file in (tmp_path / "secrets").iterdir()] == ["jwt_secret"]
