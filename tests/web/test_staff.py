"""The admin: least privilege, previews before changes, looking without touching."""

from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.core import mail
from django.core.cache import cache
from django.urls import reverse

from accounts import impersonation
from accounts.models import AuditEvent, User
from aiassist.lib.clock import now
from billing.models import Tier, UsageRecord
from billing.reporting.analytics import analytics
from billing.reporting.rollups import roll_up
from billing.tiers.selectors import tier_of
from tests.factories import UserFactory
from tests.support.people import Person


def staff_in(group: str) -> Person:
    person = Person(group, is_staff=True)
    person.user.groups.add(Group.objects.get(name=group))
    return person


@pytest.fixture(autouse=True)
def nothing_kept(db):
    cache.clear()


@pytest.fixture
def support(db):
    return staff_in("support")


@pytest.fixture
def admin(db):
    return staff_in("admin")


def records(user, n, *, days_ago=0, **fields):
    at = now() - timedelta(days=days_ago)
    made = [
        UsageRecord(
            user=user,
            reservation_id=f"res_{user.pk}_{days_ago}_{i}",
            request_id=f"req_{days_ago}_{i}",
            tier_code="free",
            endpoint="assistant/chat",
            admitted_at=at,
            created_at=at,
            **{"feature": "basic_chat", "status": "ok", "latency_ms": 5} | fields,
        )
        for i in range(n)
    ]
    UsageRecord.objects.bulk_create(made)


def test_t4_support_gives_nobody_rights_and_changes_no_address(support, alice):
    page = f"/admin/accounts/user/{alice.user.pk}/change/"
    support.web.post(
        page,
        {
            "email": "x@evil.test",
            "full_name": "A",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
            "preferences": "{}",
        },
    )
    alice.user.refresh_from_db()

    assert (alice.user.email, alice.user.is_staff) == ("alice@example.test", False)
    assert support.web.get(f"{page[:-7]}password/").status_code == 403


def test_support_cannot_touch_other_staff(support, stella):
    page = f"/admin/accounts/user/{stella.user.pk}/change/"
    support.web.post(page, {"full_name": "Gone", "preferences": "{}"})
    support.web.post(
        "/admin/accounts/user/",
        {"action": "disable", "_selected_action": [stella.user.pk]},
    )
    stella.user.refresh_from_db()

    assert (stella.user.full_name, stella.user.is_active) == ("Stella", True)


def test_support_cannot_erase(support, alice):
    support.web.post(
        "/admin/accounts/user/",
        {"action": "erase", "_selected_action": [alice.user.pk]},
    )

    assert User.objects.get(pk=alice.user.pk).deleted_at is None


def test_a_confirmation_is_sent_again(support):
    waiting = UserFactory.create(confirmed=False)
    waiting.emailaddress_set.create(email=waiting.email, verified=False, primary=True)
    support.web.post(
        "/admin/accounts/user/",
        {"action": "resend_confirmation", "_selected_action": [waiting.pk]},
    )

    assert [sent.to for sent in mail.outbox] == [[waiting.email]]


def looked_as(staff, person):
    address = f"/admin/accounts/user/{person.user.pk}/impersonate/"
    return staff.web.post(address)


def test_m4_staff_look_as_somebody_to_read_only_and_each_page_is_noted(admin, alice):
    assert looked_as(admin, alice).status_code in (200, 302)
    home = admin.web.get(reverse("dashboard"))

    assert "You look at the site as alice@example.test" in home.text
    for address in (
        *("/dashboard/chat/", "/api/v1/me", "/admin/"),
        reverse("workspaces:search", args=[alice.workspace.pk]),
    ):
        assert admin.web.get(address).status_code == 403, address
    assert admin.web.post(reverse("settings:profile"), {}).status_code == 403
    shut = admin.web.get("/dashboard/chat/").text
    assert f'action="{reverse("impersonation_end")}"' in shut
    admin.web.post(reverse("impersonation_end"))
    assert admin.web.get("/admin/").status_code == 200
    noted = AuditEvent.objects.filter(action__startswith="impersonation")
    assert set(noted.values_list("actor_id", "subject_id")) == {
        (admin.user.pk, alice.user.pk)
    }
    assert {event.action.split(".")[1] for event in noted} == {
        *("began", "looked", "ended")
    }


def test_m4_it_ends_by_itself(admin, alice):
    looked_as(admin, alice)
    session = admin.web.session
    held = session[impersonation.SESSION_KEY]
    session[impersonation.SESSION_KEY] = held | {
        "until": (now() - timedelta(seconds=1)).isoformat()
    }
    session.save()

    assert "You look at the site" not in admin.web.get(reverse("dashboard")).text
    assert AuditEvent.objects.filter(action="impersonation.expired").count() == 1


@pytest.mark.parametrize("who", ["support", "alice"])
def test_m4_without_the_right_nobody_looks_as_another(request, who, charlie):
    person = request.getfixturevalue(who)
    looked_as(person, charlie)

    assert impersonation.SESSION_KEY not in person.web.session


def test_m4_nobody_looks_as_staff(admin, stella):
    assert looked_as(admin, stella).status_code == 403


def tier_form(**changes):
    free = Tier.objects.values().get(pk="free")
    return {**free, "monthly_price_usd_micros": "", **changes}


def test_a_tiers_draft_is_previewed_before_it_is_saved(stella, alice):
    records(alice.user, 3)
    page = "/admin/billing/tier/free/change/"
    draft = tier_form(requests_per_hour=1, _preview="")
    shown = stella.web.post(page, draft)

    assert Tier.objects.get(pk="free").requests_per_hour == 50
    assert shown.context["found"].blocked == 2 and shown.context["today"].blocked == 0
    assert "alice@example.test" in shown.text
    stella.web.post(
        page, dict(shown.context["fields"]) | tier_form(requests_per_hour=1, _save="")
    )
    assert Tier.objects.get(pk="free").requests_per_hour == 1


def test_a_tier_is_given_for_a_while_and_with_a_reason(stella, alice):
    until = now().replace(microsecond=0) + timedelta(days=7)
    form = stella.web.get(f"/admin/accounts/user/{alice.user.pk}/tier/", follow=True)
    assert alice.user.email in form.text
    stella.web.post(
        "/admin/billing/subscription/add/",
        {
            "user": alice.user.pk,
            "tier": "pro",
            "reason": "trial",
            "ends_at_0": f"{until:%Y-%m-%d}",
            "ends_at_1": f"{until:%H:%M:%S}",
        },
    )
    held = alice.user.subscriptions.get()

    assert (held.tier_id, held.ends_at, held.reason) == ("pro", until, "trial")
    assert tier_of(alice.user).code == "pro"
    assert not alice.user.subscriptions.running_at(until).exists()


def test_a_draft_that_is_not_valid_shows_its_form(stella):
    draft = tier_form(requests_per_hour=-1, _preview="")

    page = stella.web.post("/admin/billing/tier/free/change/", draft)

    assert page.status_code == 200
    assert "requests_per_hour" in page.context["adminform"].form.errors
    assert Tier.objects.get(pk="free").requests_per_hour == 50


def test_the_first_page_adds_up_ledger_and_rollups(stella, alice, charlie):
    records(alice.user, 2, days_ago=2, provider="openai", model="m", cost_usd_micros=5)
    roll_up()
    records(charlie.user, 1, status="error", provider="openai")
    found = analytics("week")

    assert (found.totals.requests, found.totals.errors) == (3, 1)
    assert (found.users_active, found.top_users[0].email) == (2, alice.user.email)
    shown = stella.web.get("/admin/?period=week").text
    assert "alice@example.test" in shown and "<svg" in shown


def test_the_numbers_of_the_first_page_are_added_up_once_a_minute(stella, alice):
    first = stella.web.get("/admin/").context["report"]
    records(alice.user, 2)

    assert stella.web.get("/admin/").context["report"] == first
    cache.clear()
    assert stella.web.get("/admin/").context["report"] != first


def test_analytics_can_be_off(stella, settings):
    settings.ANALYTICS_ENABLED = False

    assert "Analytics are off" in stella.web.get("/admin/").text


def test_the_admins_policy_allows_nothing_inline(stella):
    policy = stella.web.get("/admin/")["Content-Security-Policy"]

    assert policy.count("'unsafe-inline'") == 1
    assert "style-src-attr 'unsafe-inline'" in policy and "style-src 'self'" in policy
    assert "script-src 'self' 'unsafe-eval'" in policy


def test_m2_no_page_of_the_admin_holds_what_opens_an_account(stella, alice):
    Authenticator.objects.create(
        user=alice.user, type="totp", data={"secret": "canary-of-totp"}
    )
    SocialAccount.objects.create(
        user=alice.user, provider="github", uid="7", extra_data={"x": "canary-of-hub"}
    )
    UserSession.objects.create(
        user=alice.user, session_key="canary-of-session", ip="127.0.0.1"
    )
    for table, row in (
        ("mfa/authenticator", Authenticator.objects.get()),
        ("socialaccount/socialaccount", SocialAccount.objects.get()),
        ("usersessions/usersession", UserSession.objects.get(user=alice.user)),
    ):
        page = stella.web.get(f"/admin/{table}/{row.pk}/change/")
        assert (page.status_code, "canary" in page.text) == (200, False)
        assert stella.web.get(f"/admin/{table}/add/").status_code == 403
    assert stella.web.get("/admin/socialaccount/socialtoken/").status_code == 404


def test_staff_see_how_somebody_works(stella, support, alice):
    records(alice.user, 3, latency_ms=500, tokens_in=1000)
    page = f"/admin/accounts/user/{alice.user.pk}"
    shown = support.web.get(f"{page}/insights/").text

    assert "The tier that fits: Free" in shown
    assert "3 of 50" in shown
    assert support.web.get(f"{page}/habits/").status_code == 302
    assert alice.web.get(f"{page}/insights/").status_code == 302


def test_insights_can_be_off(stella, alice, settings):
    settings.ANALYTICS_ENABLED = False
    page = stella.web.get(f"/admin/accounts/user/{alice.user.pk}/insights/")

    assert "Analytics are off" in page.text


def test_support_acts_on_somebodys_own_page_after_being_asked(support, alice):
    page = f"/admin/accounts/user/{alice.user.pk}"
    asked = support.web.get(f"{page}/sign-out/").text
    assert "Ends all their sessions and tokens" in asked
    assert alice.web.get("/dashboard/").status_code == 200
    assert support.web.post(f"{page}/sign-out/").status_code == 302
    assert alice.web.get("/dashboard/").status_code == 302
    support.web.post(f"{page}/disable/")
    assert alice.api.get("/api/v1/me").status_code == 401
    support.web.post(f"{page}/enable/")
    assert alice.api.get("/api/v1/me").status_code == 200
    noted = AuditEvent.objects.filter(actor_id=support.user.pk)
    assert [each.action for each in noted.order_by("created_at")] == [
        *("user.signed_out", "user.disabled", "user.enabled")
    ]


@pytest.mark.parametrize(
    "page", ["habits", "tier", "limits", "impersonate", "sign-out", "resend"]
)
def test_a_persons_pages_open_by_the_addresses_that_lists_lead_to(stella, alice, page):
    address = f"/admin/accounts/user/{quote(alice.user.pk)}/{page}/"
    shown = stella.web.get(address, follow=True)

    assert shown.status_code == 200
    assert "alice@example.test" in shown.text


ACTS = ("sign-out", "resend", "disable", "enable", "set-password", "impersonate")


@pytest.mark.parametrize("act", ACTS)
def test_support_does_nothing_to_other_staff_by_their_page(support, stella, act):
    page = f"/admin/accounts/user/{stella.user.pk}/{act}/"

    assert support.web.get(page).status_code == 403
    assert support.web.post(page).status_code == 403
    stella.user.refresh_from_db()
    assert stella.user.is_active


def test_m3_the_log_names_people_by_their_address(admin, support, alice):
    support.web.post(f"/admin/accounts/user/{alice.user.pk}/sign-out/")
    shown = admin.web.get("/admin/accounts/auditevent/?kind=user").text

    assert support.user.email in shown and "alice@example.test" in shown


def test_m2_how_a_password_is_kept_is_shown_to_nobody(stella, alice):
    page = stella.web.get(f"/admin/accounts/user/{alice.user.pk}/change/").text

    assert "argon2" not in page and "pbkdf2" not in page
    assert alice.user.password not in page
