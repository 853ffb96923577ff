"""Who was signed out meanwhile comes back to where they were."""

from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

LIST = "/dashboard/workspaces/"


@pytest.mark.parametrize(
    ("came_from", "back"),
    [
        ("http://testserver/dashboard/keys/new/?a=1", "/dashboard/keys/new/?a=1"),
        ("https://elsewhere.test/form/", "/dashboard/"),
        ("", "/dashboard/"),
    ],
)
def test_a_form_leads_back_to_its_own_page(alice, came_from, back):
    headers = {"Referer": came_from} if came_from else {}
    address = reverse("workspaces:reindex", args=[alice.workspace.pk])

    answer = Client().post(address, headers=headers)

    assert parse_qs(urlsplit(answer["Location"]).query) == {"next": [back]}


def test_a_page_leads_back_to_itself(db):
    answer = Client().get(f"{LIST}?a=1")

    assert answer["Location"] == "/accounts/login/?next=/dashboard/workspaces/%3Fa%3D1"


def test_a_fragment_says_so_rather_than_show_the_sign_in_within_a_page(db):
    answer = Client().get(LIST, headers={"HX-Request": "true"})

    assert (answer.status_code, answer.content) == (401, b"")
