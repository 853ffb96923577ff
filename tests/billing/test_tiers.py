"""Tiers: seeds, gates, who has what, and moving between them."""

from datetime import timedelta

import pytest
from django.apps.registry import Apps
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent
from aiassist.lib import clock
from aiassist.lib.errors import FeatureNotInTier, ProviderNotInTier
from billing.apps import _seed_an_emptied_table as seed_an_emptied_table
from billing.metering.gates import require_feature, require_provider
from billing.models import Subscription, Tier
from billing.models.tier import validate_features, validate_providers
from billing.seeds import seed_tiers
from billing.tiers.selectors import smallest_tier, tier_of
from billing.tiers.subscriptions import change_tier, end_subscription
from tests.billing.people import put_on, tier

pytestmark = pytest.mark.django_db

MB = 1024 * 1024
ALL_PROVIDERS = ["extractive", "ollama", "openai", "anthropic", "google"]
ALL_FEATURES = [
    *("basic_chat", "code_explanation", "code_generation", "inline_completion"),
]


def test_the_seeds_are_the_contracts_table():
    rows = Tier.objects.order_by("rank").values_list(
        *("code", "requests_per_hour", "requests_per_day", "max_file_bytes"),
        *("context_tokens", "max_concurrent", "providers", "features"),
    )
    assert list(rows) == [
        *(("free", 50, 200, MB, 4_000, 4, ALL_PROVIDERS[:2], ALL_FEATURES[:2]),),
        *(("pro", 500, 2_000, 10 * MB, 16_000, 20, ALL_PROVIDERS, ALL_FEATURES),),
        (
            *("enterprise", 5_000, 20_000, 100 * MB, 32_000, 100),
            *(ALL_PROVIDERS, ALL_FEATURES),
        ),
    ]


def test_seeding_again_leaves_what_staff_edited():
    tier(requests_per_hour=7)
    Tier.objects.filter(pk="enterprise").delete()
    seed_tiers()

    assert Tier.objects.get(pk="free").requests_per_hour == 7
    assert Tier.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_emptied_database_gets_its_tiers_back():
    call_command("flush", interactive=False, verbosity=0)
    assert Tier.objects.count() == 3


def test_without_a_subscription_a_user_is_on_free(alice):
    assert tier_of(alice.user).code == "free"


def test_a_subscription_holds_from_its_start_until_its_end(alice):
    now, pro = clock.now(), Tier.objects.get(pk="pro")
    held = Subscription.objects.create(
        user=alice.user, tier=pro, starts_at=now + timedelta(hours=1)
    )
    assert tier_of(alice.user).code == "free"
    Subscription.objects.filter(pk=held.pk).update(starts_at=now)
    assert tier_of(alice.user).code == "pro"
    Subscription.objects.filter(pk=held.pk).update(ends_at=clock.now())
    assert tier_of(alice.user).code == "free"


def test_a_feature_that_the_tier_lacks_names_the_tier_that_has_it():
    free = tier()
    require_feature(free, "basic_chat")
    with pytest.raises(FeatureNotInTier, match="the tier 'pro' does") as refused:
        require_feature(free, "code_generation")
    assert refused.value.status == 403


def test_a_provider_that_the_tier_lacks_names_the_tier_that_has_it():
    free = tier()
    require_provider(free, "ollama")
    with pytest.raises(ProviderNotInTier, match="the tier 'pro' does"):
        require_provider(free, "anthropic")


def test_the_tier_named_follows_what_staff_edited():
    tier("pro", features=["basic_chat"])
    with pytest.raises(FeatureNotInTier, match="the tier 'enterprise' does"):
        require_feature(tier(), "code_generation")
    tier("enterprise", features=["basic_chat"])
    with pytest.raises(FeatureNotInTier, match="No tier includes") as refused:
        require_feature(tier(), "code_generation")
    assert refused.value.details["alternatives"] == [
        "Use one of: basic_chat, code_explanation."
    ]


def test_the_smallest_tier_that_fits_is_found():
    assert smallest_tier(lambda each: "basic_chat" in each.features) == tier("free")
    assert smallest_tier(lambda each: "google" in each.providers) == tier("pro")
    assert smallest_tier(lambda each: False) is None


def test_m3_a_change_ends_the_old_hold_and_is_noted(alice, stella):
    pro, enterprise = tier("pro"), tier("enterprise")
    first = change_tier(alice.user, pro, stella.user)
    second = change_tier(alice.user, enterprise, stella.user)
    first.refresh_from_db()

    assert first.ends_at == second.starts_at
    assert second.ends_at is None
    assert tier_of(alice.user) == enterprise
    noted = AuditEvent.objects.filter(action="subscription.changed")
    assert [(e.actor_id, e.subject_id, e.details) for e in noted][::-1] == [
        (stella.user.pk, alice.user.pk, {"before": "free", "after": "pro"}),
        (stella.user.pk, alice.user.pk, {"before": "pro", "after": "enterprise"}),
    ]


def test_the_same_tier_again_changes_nothing(alice):
    put_on(alice, "pro")
    put_on(alice, "pro")

    assert Subscription.objects.count() == 1
    assert AuditEvent.objects.filter(action="subscription.changed").count() == 1


def test_t10_a_move_down_ends_tokens_and_a_move_up_does_not(alice):
    put_on(alice, "pro")
    alice.user.refresh_from_db()
    assert alice.user.epoch == 0
    put_on(alice, "free")
    alice.user.refresh_from_db()
    assert alice.user.epoch == 1


def test_an_ended_subscription_falls_back_to_free(alice, stella):
    held = change_tier(alice.user, tier("pro"), stella.user)
    assert end_subscription(held, stella.user) == tier("free")
    assert end_subscription(held, stella.user) == tier("free")

    assert tier_of(alice.user).code == "free"
    assert AuditEvent.objects.filter(action="subscription.changed").count() == 2


def test_an_operator_moves_a_user_from_a_shell(alice, capsys):
    call_command("set_tier", "Alice@example.test", "pro")
    assert tier_of(alice.user).code == "pro"
    assert capsys.readouterr().out == "alice@example.test is on the tier 'pro' now.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody@example.test", "pro"), "No user has the address"),
        (("alice@example.test", "gold"), "There are: free, pro, enterprise."),
    ],
)
def test_an_operators_mistake_is_told(alice, words, told):
    with pytest.raises(CommandError, match=told):
        call_command("set_tier", *words)


def test_a_user_has_one_open_subscription(alice):
    put_on(alice, "pro")
    with pytest.raises(IntegrityError), transaction.atomic():
        Subscription.objects.create(user=alice.user, tier=tier("free"))


def test_a_provider_that_no_tier_has_is_refused_without_a_way_out():
    free = Tier.objects.get(pk="free")

    with pytest.raises(ProviderNotInTier, match="No tier includes") as refusal:
        require_provider(free, "acme")
    assert "tier" not in str(refusal.value.details["alternatives"])


@pytest.mark.parametrize("names", ["basic_chat", ["magic"], [1], None])
def test_only_lists_of_known_names_are_features_and_providers(names):
    for validate in (validate_features, validate_providers):
        with pytest.raises(ValidationError):
            validate(names)


def test_going_back_to_before_there_were_tiers_seeds_none():
    """The signal comes after the tables went, too."""
    seed_an_emptied_table(apps=Apps())

    assert Tier.objects.count() == 3
