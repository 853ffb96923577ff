"""Staff edit tiers and subscriptions; records are there to look at."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.models import AuditEvent
from assistant.models import AIModel
from billing.metering.admission import limits_for
from billing.models import Subscription, Tier
from billing.reporting.rollups import roll_up
from billing.tiers.selectors import tier_of
from tests.billing.people import NOON, ask, put_on, tier, use

pytestmark = pytest.mark.django_db

READ_ONLY = ("usagerecord", "usageday", "reservation", "quota")


def url(name, *args):
    return reverse(f"admin:billing_{name}", args=args)


def tier_form(**changes):
    free = Tier.objects.values().get(pk="free")
    return {**free, "monthly_price_usd_micros": "", **changes}


def test_an_edited_tier_bites_at_once_and_is_noted(alice, stella):
    ask(alice)
    form = tier_form(requests_per_hour=9, features=["basic_chat", "inline_completion"])
    answer = stella.web.post(url("tier_change", "free"), form)

    assert answer.status_code == 302
    assert limits_for(alice.user).hour.limit == 9
    assert tier().features == ["basic_chat", "inline_completion"]
    noted = AuditEvent.objects.get(action="tier.changed")
    assert (noted.actor_id, noted.subject_id) == (stella.user.pk, "free")
    assert noted.details == {"fields": ["features", "requests_per_hour"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"features": ["magic"]},
        {"providers": ["acme"]},
        {"requests_per_hour": 201},  # more than its day
        {"requests_per_hour": -1},
        {"rank": 20},  # pro's
    ],
)
def test_a_tier_that_makes_no_sense_is_refused(stella, changes):
    answer = stella.web.post(url("tier_change", "free"), tier_form(**changes))
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert tier().requests_per_hour == 50


def test_a_tiers_price_is_typed_in_dollars_and_told_where_tiers_are(stella, client):
    assert "a month" not in client.get("/pricing/").text
    page = url("tier_change", "free")
    for typed, told in (("9.99", "$9.99 a month"), ("0", "Costs nothing")):
        stella.web.post(page, tier_form(monthly_price_usd_micros=typed))
        assert told in client.get("/pricing/").text
        assert told in client.get("/").text
        assert f'value="{float(typed):.2f}"' in stella.web.get(page).text
    draft = tier_form(monthly_price_usd_micros="7.5", _preview="")
    changes = stella.web.post(page, draft).context["changes"]
    assert changes == [("monthly price", "$0.00", "$7.50")]


def test_who_may_only_look_reads_prices_in_dollars(charlie):
    Tier.objects.filter(pk="pro").update(monthly_price_usd_micros=20_000_000)
    charlie.user.is_staff = True
    charlie.user.save()
    looks = Permission.objects.filter(codename__in=["view_tier", "view_aimodel"])
    charlie.user.user_permissions.set(looks)

    assert "$20.00" in charlie.web.get(url("tier_change", "pro")).text
    model = AIModel.objects.get(name="gpt-6-sol")
    shown = charlie.web.get(f"/admin/assistant/aimodel/{model.pk}/change/").text
    assert f"{model.price_out_usd_micros / 1_000_000:.2f}" in shown


def test_the_code_of_a_tier_stays(stella):
    stella.web.post(url("tier_change", "free"), tier_form(code="gratis"))
    assert not Tier.objects.filter(pk="gratis").exists()


def test_a_new_tier_can_be_added(stella):
    form = tier_form(code="team", name="Team", rank=15, providers=["ollama"])
    assert stella.web.post(url("tier_add"), form).status_code == 302
    assert tier("team").providers == ["ollama"]
    assert AuditEvent.objects.filter(action="tier.created").count() == 1


def test_free_cannot_be_deleted_and_an_unused_tier_can(stella):
    sure = {"post": "yes"}
    assert stella.web.post(url("tier_delete", "free"), sure).status_code == 403
    assert stella.web.post(url("tier_delete", "pro"), sure).status_code == 302
    assert AuditEvent.objects.filter(action="tier.deleted").count() == 1


def test_a_tier_in_use_cannot_be_deleted(alice, stella):
    put_on(alice, "pro")
    stella.web.post(url("tier_delete", "pro"), {"post": "yes"})
    assert Tier.objects.filter(pk="pro").exists()


def test_staff_move_a_user_to_a_tier(alice, stella):
    put_on(alice, "enterprise")
    form = {"user": alice.user.pk, "tier": "pro"}
    answer = stella.web.post(url("subscription_add"), form)

    assert answer.status_code == 302
    assert tier_of(alice.user).code == "pro"
    assert Subscription.objects.filter(ends_at=None).count() == 1
    noted = AuditEvent.objects.filter(action="subscription.changed").latest(
        "created_at"
    )
    assert (noted.actor_id, noted.subject_id) == (stella.user.pk, alice.user.pk)


def test_staff_end_a_subscription(alice, stella):
    put_on(alice, "pro")
    chosen = [str(pk) for pk in Subscription.objects.values_list("pk", flat=True)]
    answer = stella.web.post(
        url("subscription_changelist"),
        {"action": "end_now", "_selected_action": chosen},
    )
    assert answer.status_code == 302
    assert tier_of(alice.user).code == "free"


def test_history_cannot_be_rewritten(alice, stella):
    put_on(alice, "pro")
    held = Subscription.objects.get()
    change = stella.web.post(
        url("subscription_change", held.pk), {"user": alice.user.pk, "tier": "free"}
    )
    delete = stella.web.post(url("subscription_delete", held.pk), {"post": "yes"})
    assert (change.status_code, delete.status_code) == (403, 403)


@pytest.mark.parametrize("table", READ_ONLY)
def test_m3_the_ledger_is_there_to_look_at_only(alice, stella, table):
    record = use(alice)
    ask(alice)
    roll_up()
    rows = {"usagerecord": record.pk, "quota": alice.user.pk}
    assert stella.web.get(url(f"{table}_changelist")).status_code == 200
    assert stella.web.get(url(f"{table}_add")).status_code == 403
    if row := rows.get(table):
        assert stella.web.get(url(f"{table}_change", row)).status_code == 200
        assert stella.web.post(url(f"{table}_change", row), {}).status_code == 403
        delete = stella.web.post(url(f"{table}_delete", row), {"post": "yes"})
        assert delete.status_code == 403


@pytest.mark.parametrize("query", ["?status__exact=ok", "?q=alice", "?estimated=1"])
def test_records_can_be_searched_and_filtered(alice, stella, query):
    use(alice)
    assert stella.web.get(url("usagerecord_changelist") + query).status_code == 200


def test_t4_a_user_is_not_let_in(alice):
    assert alice.web.post(url("tier_change", "free"), tier_form()).status_code in (
        302,
        403,
    )
    assert not AuditEvent.objects.filter(action="tier.changed").exists()


@pytest.mark.parametrize("field", ["tier", "quota", "subscriptions", "is_staff"])
def test_t4_nobody_writes_a_tier_of_their_own(alice, field):
    """Mass assignment: neither the profile nor the dry run takes it."""
    for method, path in (("patch", "/api/v1/me"), ("post", "/api/v1/limits/check")):
        getattr(alice.api, method)(path, {field: "enterprise"}, format="json")
    alice.user.refresh_from_db()

    assert tier_of(alice.user).code == "free"
    assert not alice.user.is_staff


def test_staff_see_what_the_filtered_days_add_up_to(alice, charlie, stella):
    for person in (alice, charlie):
        spent = {"tokens_in": 1000, "cost_usd_micros": 2000, "provider": "openai"}
        use(person, now=NOON, model="small", **spent)
        use(person, now=NOON, feature="search")
    roll_up()
    answer = stella.web.get(url("usageday_changelist"), {"provider": "openai"})

    (row,) = answer.context["sums"]
    assert row == {
        "feature": "basic_chat",
        "provider": "openai",
        "model": "small",
        "sum_requests": 2,
        "sum_in": 2000,
        "sum_out": 0,
        "sum_cost": 4000,
        "sum_errors": 0,
    }
    assert b"$0.0040" in answer.content


def test_a_subscription_cannot_end_before_it_begins(alice, stella):
    form = {"user": alice.user.pk, "tier": "pro", "ends_at_1": "00:00:00"}
    form["ends_at_0"] = "2020-01-01"

    answer = stella.web.post(url("subscription_add"), form)

    assert "This moment has passed." in answer.text
    assert tier_of(alice.user).code == "free"


def test_a_filter_that_nobody_knows_shows_the_list_anew(stella):
    answer = stella.web.get(url("usageday_changelist"), {"magic": "1"})

    assert (answer.status_code, "e=1" in answer["Location"]) == (302, True)


def test_a_draft_of_a_tier_is_shown_to_those_who_may_change_it_alone(stella):
    looks = Permission.objects.get(codename="view_tier")
    stella.user.is_superuser = False
    stella.user.save()
    stella.user.user_permissions.set([looks])

    for code in ("free", "nothing"):
        body = tier_form(_preview="1")
        assert stella.web.post(url("tier_change", code), body).status_code == 403
