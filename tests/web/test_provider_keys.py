"""The page of one's own provider keys: added, replaced, tried, removed; never shown."""

import pytest

from assistant.models import ProviderKey
from assistant.own_keys import add_key
from billing.tiers.selectors import tier_of
from tests.billing.people import put_on

pytestmark = pytest.mark.django_db

PAGE = "/dashboard/settings/provider-keys/"
SECRET = "sk-canary-of-the-page-0123-x4Tq"


@pytest.fixture
def pro(alice):
    put_on(alice, "pro")
    return alice


def put(person, key=SECRET, base_url="", provider="openai"):
    fields = {f"{provider}-key": key, f"{provider}-base_url": base_url}
    return person.web.post(f"{PAGE}{provider}/", fields, follow=True)


def test_a_key_is_kept_and_not_shown_again(pro):
    page = put(pro)

    assert "The key is kept" in page.text
    assert "<code>x4Tq</code>" in page.text
    assert SECRET not in page.text
    assert ProviderKey.objects.get().base_url == "https://api.openai.com/v1"
    assert page["Cache-Control"].count("no-store") == 1


def test_another_takes_its_place(pro):
    put(pro)
    page = put(pro, key="sk-another-canary-0123456-zz99")

    assert "<code>zz99</code>" in page.text
    assert ProviderKey.objects.count() == 1


@pytest.mark.parametrize(
    ("key", "base_url"),
    [
        ("", ""),
        ("with\x07bell", ""),
        (SECRET, "http://127.0.0.1:9"),
        (SECRET, "nowhere"),
    ],
)
def test_what_cannot_be_a_key_or_an_address_is_refused(pro, key, base_url):
    page = put(pro, key=key, base_url=base_url)

    assert page.status_code == 422
    assert SECRET not in page.text
    assert not ProviderKey.objects.exists()


def test_a_provider_that_nobody_knows_is_not_there(pro):
    assert put(pro, provider="acme").status_code == 404


def test_a_tier_without_it_says_which_has_it(alice):
    page = alice.web.get(PAGE).text

    assert "Your tier, Free, does not include this. Pro does." in page
    assert "Keep the key" not in page
    assert put(alice).status_code == 422
    assert not ProviderKey.objects.exists()


def test_a_key_is_removed_even_under_a_smaller_tier(pro):
    row = add_key(user=pro.user, tier=tier_of(pro.user), provider="google", key=SECRET)
    put_on(pro, "free")
    page = pro.web.post(f"{PAGE}{row.pk}/remove/", follow=True)

    assert "The key is forgotten" in page.text
    assert not ProviderKey.objects.exists()


def test_trying_a_key_tells_why_it_does_not_work(pro, settings):
    settings.PROVIDER_KEY_ALLOWED_HOSTS = ["127.0.0.1:9"]
    row = add_key(
        user=pro.user,
        tier=tier_of(pro.user),
        provider="openai",
        key=SECRET,
        base_url="https://127.0.0.1:9/v1",
    )
    page = pro.web.post(f"{PAGE}{row.pk}/test/", follow=True).text

    assert "message-error" in page or "alert-bad" in page
    assert SECRET not in page
    row.refresh_from_db()
    assert row.tried_at is not None


def test_t1_a_stranger_tries_and_removes_nothing(pro, charlie):
    row = add_key(user=pro.user, tier=tier_of(pro.user), provider="google", key=SECRET)
    for act in ("test", "remove"):
        assert charlie.web.post(f"{PAGE}{row.pk}/{act}/").status_code == 404
    assert ProviderKey.objects.get() == row


def test_a_local_model_may_answer_if_operator_and_user_wish_so(alice, settings):
    settings.LOCAL_FALLBACK_PER_HOUR = 0
    assert "When your quota is used up" not in alice.web.get(PAGE).text

    settings.LOCAL_FALLBACK_PER_HOUR = 20
    alice.web.post(f"{PAGE}fallback/", {"local_fallback": "on"})
    page = alice.web.get(PAGE).text
    alice.user.refresh_from_db()
    assert "up to 20 calls an hour" in page and " checked" in page
    assert alice.user.preferences["local_fallback"] is True
    alice.web.post(f"{PAGE}fallback/", {})
    alice.user.refresh_from_db()
    assert alice.user.preferences["local_fallback"] is False
