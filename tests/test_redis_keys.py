"""T8: what Redis keeps is told apart by whole ids and digests, never by a secret.

Two people go through every operation of the OpenAPI document, sign in and sign out;
what that leaves in Redis is read key by key.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from django.test import Client
from rest_framework.test import APIClient

from accounts.keys import MARK, N_PREFIX, create_key
from accounts.scopes import ALL_SCOPES
from billing.models import Tier
from billing.tiers.subscriptions import change_tier
from tests.factories import PASSWORD
from tests.support.holdings import holdings_of
from tests.support.openapi import operations
from tests.support.people import Person

# What is about nobody, or about everybody at once.
COMMON = re.compile(
    r"_kombu\.|index$|default$|workers:alive$|unacked|holds$|holds:ends$|usage$"
    r"|who:generation$|breakers$|upstreams$|cache:1:(models|listing|catalogue)"
)
ID = re.compile(r"user_[0-9A-Za-z]{22}")
DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{32,64}(?![0-9a-f])")
ADDRESS = re.compile(r"(?<!\d)\d{1,3}(\.\d{1,3}){3}")


@contextmanager
def watched(client: "redis.Redis") -> Iterator[set[str]]:
    """Collect every key that is written, those of a moment too."""
    keys: set[str] = set()
    client.config_set("notify-keyspace-events", "EA")
    with client.pubsub() as events:
        events.psubscribe("__keyevent@*__:*")
        yield keys
        while (event := events.get_message(timeout=0.2)) is not None:
            if event["type"] == "pmessage":
                keys.add(event["data"])
    client.config_set("notify-keyspace-events", "")


def live(person: Person) -> set[str]:
    """Use every operation once; return the secrets that were shown or sent."""
    change_tier(person.user, Tier.objects.get(pk="enterprise"), actor=None)
    ids = holdings_of(person)
    _, secret = create_key(person.user, "all", ALL_SCOPES)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    for operation in operations():
        if operation.name != "DELETE /api/v1/me":
            assert operation.send(client, ids).status_code < 500, operation.name
    browser = Client()
    browser.post("/accounts/login/", {"login": person.user.email, "password": PASSWORD})
    browser.get("/dashboard/")
    session = browser.cookies["sessionid"].value
    return {secret, ids["refresh"], session, PASSWORD, person.user.email}


def test_t8_a_key_names_its_owner_whole_and_holds_no_secret(
    alice: Person,
    charlie: Person,
    redis_client: "redis.Redis",
    vectors: object,
    queue: object,
):
    with watched(redis_client) as keys:
        secrets = live(alice) | live(charlie)

    assert {i for key in keys for i in ID.findall(key)} == {
        alice.user.pk,
        charlie.user.pk,
    }
    assert [
        key
        for key in sorted(keys)
        if not COMMON.match(key)
        and not any(form.search(key) for form in (ID, DIGEST, ADDRESS))
    ] == []
    # Not even the part of an API key that may be shown.
    signs = {sign[:N_PREFIX] if sign.startswith(MARK) else sign for sign in secrets}
    assert [key for key in keys if any(sign in key for sign in signs)] == []
