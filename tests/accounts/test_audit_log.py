"""M3: each sensitive act leaves an event in its transaction; the log stays as it is."""

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group, Permission
from django.db import DatabaseError, connection, transaction
from django.test import Client, RequestFactory

from accounts import audit, keys
from accounts.models import ApiKey, AuditEvent, User
from accounts.models.audit_event import AuditLogIsAppendOnly
from accounts.own_data.erasure import delete_user
from tests.factories import PASSWORD


def actions():
    return list(AuditEvent.objects.order_by("created_at").values_list("action"))


def last(action):
    return AuditEvent.objects.filter(action=action).latest("created_at")


def test_m3_a_keys_life_is_written_down_with_who_and_from_where(alice, account_api):
    made = account_api.post(
        "/api/v1/keys", {"name": "n"}, format="json", REMOTE_ADDR="203.0.113.7"
    ).json()
    path = f"/api/v1/keys/{made['id']}"
    account_api.patch(path, {"name": "m"}, format="json")
    new = account_api.post(f"{path}/rotate").json()
    answer = account_api.delete(path)

    event = last("key.created")
    assert (event.actor_id, event.subject_id) == (alice.user.pk, made["id"])
    assert event.ip == "203.0.113.7"
    assert last("key.changed").details == {"fields": ["name"]}
    assert last("key.rotated").details == {"successor_id": new["id"]}
    assert last("key.revoked").request_id == answer["X-Request-ID"]


def test_m3_sign_ins_and_failures_are_written_down(alice, post):
    post("auth/token", {"email": alice.user.email, "password": "wrong"})
    post("auth/token", {"email": "nobody@example.test", "password": "wrong"})
    post("auth/token", {"email": alice.user.email, "password": PASSWORD})
    client = Client()
    client.post("/accounts/login/", {"login": alice.user.email, "password": PASSWORD})
    client.post("/accounts/logout/")

    failed = AuditEvent.objects.filter(action="login.failed")
    assert {e.subject_id for e in failed} == {alice.user.pk, ""}
    assert AuditEvent.objects.filter(action="login").count() == 2
    assert last("logout").actor_id == alice.user.pk
    assert "nobody@" not in repr(list(AuditEvent.objects.values()))


def test_m3_password_second_factor_and_deletion_are_written_down(alice):
    phrase = "a brand new phrase 7"
    body = {"oldpassword": PASSWORD, "password1": phrase, "password2": phrase}
    alice.web.post("/accounts/password/change/", body)
    TOTP.activate(alice.user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    delete_user(alice.user, alice.user)

    found = {action for (action,) in actions()}
    assert {"password.changed", "second_factor.added", "user.deleted"} <= found


def test_m3_what_staff_do_is_written_down_as_theirs(alice, stella):
    for action in ("disable", "enable", "sign_out", "erase"):
        stella.web.post(
            "/admin/accounts/user/",
            {"action": action, "_selected_action": [alice.user.pk]},
        )
    for action in (
        "user.disabled",
        "user.enabled",
        "user.signed_out",
        "user.deleted",
    ):
        event = last(action)
        assert (event.actor_id, event.subject_id) == (stella.user.pk, alice.user.pk)


def test_m3_what_a_group_may_do_is_changed_on_the_record(stella):
    page = "/admin/auth/group/"
    stella.web.post(f"{page}add/", {"name": "night shift"})
    group = Group.objects.get(name="night shift")
    right = Permission.objects.get(codename="delete_user")
    body = {"name": group.name, "permissions": [right.pk]}
    stella.web.post(f"{page}{group.pk}/change/", body)
    chosen = {"action": "delete_selected", "_selected_action": [group.pk]}
    stella.web.post(page, {**chosen, "post": "yes"})

    assert not Group.objects.filter(pk=group.pk).exists()
    for action in ("group.created", "group.changed", "group.deleted"):
        event = last(action)
        assert (event.actor_id, event.subject_id) == (stella.user.pk, str(group.pk))
    assert last("group.changed").details == {"fields": ["permissions"]}


def test_m3_an_act_that_is_rolled_back_leaves_no_event(alice, monkeypatch):
    class Broken(Exception):
        pass

    def fail(*args, **kwargs):
        raise Broken

    before = actions()
    with pytest.raises(Broken), transaction.atomic():
        keys.create_key(alice.user, "n")
        raise Broken
    assert actions() == before

    monkeypatch.setattr(audit, "record", fail)
    with pytest.raises(Broken):
        keys.create_key(alice.user, "unaudited")
    assert not ApiKey.objects.filter(name="unaudited").exists()


def test_m3_the_log_cannot_be_changed_through_models(alice):
    event = audit.record("test", actor=alice.user, subject=alice.user)
    event.action = "nothing happened"
    for change in (
        event.save,
        event.delete,
        lambda: AuditEvent.objects.update(action="x"),
        lambda: AuditEvent.objects.all().delete(),
    ):
        with pytest.raises(AuditLogIsAppendOnly):
            change()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditevent SET action = 'nothing happened'",
        "UPDATE accounts_auditevent SET ip = '203.0.113.8'",
        "UPDATE accounts_auditevent SET ip = NULL, action = 'nothing happened'",
        "DELETE FROM accounts_auditevent",
    ],
)
def test_m3_the_database_refuses_too(alice, statement):
    audit.record("test", actor=alice.user, subject=alice.user)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_m3_staff_read_the_log_and_write_nothing(alice, stella):
    event = audit.record("test", actor=alice.user, subject=alice.user)
    path = f"/admin/accounts/auditevent/{event.pk}"

    assert stella.web.get("/admin/accounts/auditevent/").status_code == 200
    assert stella.web.get(f"{path}/change/").status_code == 200
    assert stella.web.post(f"{path}/change/", {"action": "x"}).status_code == 403
    assert stella.web.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    assert stella.web.get("/admin/accounts/auditevent/add/").status_code == 403
    assert AuditEvent.objects.filter(pk=event.pk, action="test").exists()


def seen():
    return RequestFactory().get("/", REMOTE_ADDR="203.0.113.7")


def test_m3_the_log_outlives_the_person_without_their_address(alice, queue):
    user_id = alice.user.pk
    event = audit.record("test", actor=alice.user, subject=alice.user, request=seen())
    assert event.ip == "203.0.113.7"
    delete_user(alice.user, alice.user)
    queue.run()
    assert not User.objects.filter(pk=user_id).exists()
    assert last("user.erased").subject_id == user_id
    assert last("test").actor_id == user_id
    assert last("test").ip is None
