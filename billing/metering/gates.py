"""May this tier do that? Refusals name the tier that may."""

from aiassist.lib.errors import (
    FeatureNotInTier,
    LimitRefused,
    ProviderNotInTier,
)
from billing.models import Tier
from billing.tiers.selectors import smallest_tier


def require_feature(tier: Tier, feature: str) -> None:
    """Raise FeatureNotInTier, naming the smallest tier that has the feature."""
    if feature not in tier.features:
        better = smallest_tier(lambda other: feature in other.features)
        raise _lacking(
            FeatureNotInTier,
            tier,
            f"the feature '{feature}'",
            better,
            policy="features",
            limit=list(tier.features),
            used=feature,
            instead=f"Use one of: {', '.join(tier.features)}.",
        )


def require_provider(tier: Tier, provider: str) -> None:
    """Raise ProviderNotInTier, naming the smallest tier that has the provider."""
    if provider not in tier.providers:
        better = smallest_tier(lambda other: provider in other.providers)
        raise _lacking(
            ProviderNotInTier,
            tier,
            f"the provider '{provider}'",
            better,
            policy="providers",
            limit=list(tier.providers),
            used=provider,
            instead=f"Use a model of: {', '.join(tier.providers)}.",
        )


def require_own_provider_keys(tier: Tier) -> None:
    """Raise FeatureNotInTier, naming the smallest tier whose users may bring keys."""
    if not tier.own_provider_keys:
        raise _lacking(
            FeatureNotInTier,
            tier,
            "provider keys of your own",
            smallest_tier(lambda other: other.own_provider_keys),
            policy="own_provider_keys",
            limit=False,
            used=True,
        )


def _lacking(
    error: type[LimitRefused],
    tier: Tier,
    what: str,
    better: Tier | None,
    *,
    policy: str,
    limit: object,
    used: object,
    instead: str = "",
) -> LimitRefused:
    """Return the refusal of what the tier does not have and `better` has."""
    if better is None:
        sentence = f"No tier includes {what}."
    else:
        sentence = (
            f"Your tier '{tier.code}' does not include {what}; "
            f"the tier '{better.code}' does."
        )
    return error(
        sentence,
        policy=policy,
        scope="user",
        limit=limit,
        used=used,
        resets_at=None,
        alternatives=_alternatives(better, instead if limit else ""),
    )


def _alternatives(better: Tier | None, otherwise: str) -> list[str]:
    found = [otherwise] if otherwise else []
    if better is not None:
        found.append(f"Move to the tier '{better.code}'.")
    return found
