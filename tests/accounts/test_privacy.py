"""D4: the export holds every classified field of the user and nothing of others."""

import json

import pytest
from django.apps import apps

from accounts.models import DataExport
from accounts.own_data import exports
from accounts.signing_in import tokens
from aiassist.lib import privacy
from aiassist.lib.clock import now

PATH = "/api/v1/me/export"


@pytest.mark.parametrize(
    "model",
    list(apps.get_app_config("accounts").get_models()),
    ids=lambda m: m.__name__,
)
def test_d4_every_table_of_accounts_is_classified(model):
    assert privacy.of_model(model) is not None


@pytest.mark.parametrize(
    "table", privacy.classifications(), ids=lambda table: table.label
)
def test_d4_every_column_is_in_exactly_one_list(table):
    assert table.unclassified() == set()


def test_d4_a_new_column_is_noticed():
    table = privacy.of_model(DataExport)
    assert table is not None
    forgotten = privacy.Classified(
        table.label, table.owner, table.export[1:], table.withheld, "", "delete"
    )
    assert forgotten.unclassified() == {table.export[0]}


def test_d4_an_export_is_asked_for_built_and_fetched(alice, charlie, queue):
    tokens.sign_in(alice.user)
    tokens.sign_in(charlie.user)
    web = alice.web
    assert web.get(PATH).status_code == 404

    asked = web.post(PATH)
    assert (asked.status_code, asked.json()["contents"]) == (202, None)
    assert web.post(PATH).json()["id"] == asked.json()["id"]
    queue.run()

    answer = web.get(PATH).json()
    text = json.dumps(answer)
    assert answer["state"] == "ready"
    assert answer["contents"]["tables"]["accounts.User"][0]["email"] in text
    assert alice.user.pk in text
    assert charlie.user.pk not in text
    assert charlie.user.email not in text
    assert alice.user.password not in text


def test_d4_secrets_are_withheld(alice):
    key = alice.api_key
    tokens.sign_in(alice.user)
    family = alice.user.token_families.get()
    text = json.dumps(exports.collect(alice.user))
    assert key.prefix in text
    assert family.pk in text
    for secret in (key.digest, family.current_jti, alice.user.password):
        assert secret not in text


def test_an_export_is_forgotten_after_a_week(alice):
    export = exports.ask_for_export(user=alice.user)
    assert exports.forget_old() == 0
    old = now() - exports.KEPT_FOR * 2
    DataExport.objects.filter(pk=export.pk).update(created_at=old)
    assert exports.forget_old() == 1


def test_a_lost_export_is_sent_again(alice, queue):
    exports.ask_for_export(user=alice.user)
    queue.clear()
    assert exports.sweep() == 1
    assert queue.names == ["accounts.export"]


def test_d4_a_person_gets_what_they_did_themselves(alice, account_api):
    made = account_api.post(
        "/api/v1/keys", {"name": "n"}, format="json", REMOTE_ADDR="203.0.113.7"
    ).json()

    told = exports.collect(alice.user)["audit_log"]

    (event,) = [e for e in told if e["subject_id"] == made["id"]]
    assert (event["action"], event["actor_id"]) == ("key.created", alice.user.pk)
    assert event["ip"] == "203.0.113.7"


def test_d4_who_among_the_staff_acted_and_from_where_is_not_told(alice, stella):
    chosen = {"action": "sign_out", "_selected_action": [alice.user.pk]}
    stella.web.post("/admin/accounts/user/", chosen, REMOTE_ADDR="203.0.113.8")

    hers = json.dumps(exports.collect(alice.user))
    staffs = json.dumps(exports.collect(stella.user))

    assert "user.signed_out" in hers and "user.signed_out" in staffs
    assert stella.user.pk not in hers and "203.0.113.8" not in hers
    assert alice.user.pk not in staffs and "203.0.113.8" in staffs


def test_only_the_newest_export_is_kept(alice, queue):
    for _ in range(2):
        asked = exports.ask_for_export(user=alice.user)
        queue.run()

    assert [kept.pk for kept in DataExport.objects.for_user(alice.user)] == [asked.pk]


def test_an_export_that_fails_each_time_is_given_up(alice, queue):
    asked = exports.ask_for_export(user=alice.user)
    long_ago = now() - exports.GIVEN_UP_AFTER * 2
    DataExport.objects.filter(pk=asked.pk).update(created_at=long_ago)

    assert exports.sweep() == 0

    assert alice.web.get(PATH).json()["state"] == "failed"
    assert exports.ask_for_export(user=alice.user).pk != asked.pk
