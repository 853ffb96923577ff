"""May this tier do that? Refusals name the tier that may."""

from aiassist.lib.errors import FeatureNotInTier, ProviderNotInTier, TooLarge
from billing.models import Tier
from billing.selectors import cheapest_tier_with, tiers_by_rank


def require_feature(tier: Tier, feature: str) -> None:
    """Raise FeatureNotInTier, naming the smallest tier that has the feature."""
    if feature in tier.features:
        return
    better = cheapest_tier_with(feature=feature)
    if better is None:
        sentence = f"No tier includes the feature '{feature}'."
    else:
        sentence = (
            f"Your tier '{tier.code}' does not include the feature '{feature}'; "
            f"the tier '{better.code}' does."
        )
    raise FeatureNotInTier(
        sentence,
        policy="features",
        scope="user",
        limit=list(tier.features),
        used=feature,
        resets_at=None,
        alternatives=_alternatives(
            better, f"Use one of: {', '.join(tier.features)}." if tier.features else ""
        ),
    )


def require_provider(tier: Tier, provider: str) -> None:
    """Raise ProviderNotInTier, naming the smallest tier that has the provider."""
    if provider in tier.providers:
        return
    better = cheapest_tier_with(provider=provider)
    if better is None:
        sentence = f"No tier includes the provider '{provider}'."
    else:
        sentence = (
            f"Your tier '{tier.code}' does not include the provider '{provider}'; "
            f"the tier '{better.code}' does."
        )
    raise ProviderNotInTier(
        sentence,
        policy="providers",
        scope="user",
        limit=list(tier.providers),
        used=provider,
        resets_at=None,
        alternatives=_alternatives(
            better,
            f"Use a model of: {', '.join(tier.providers)}." if tier.providers else "",
        ),
    )


def require_own_provider_keys(tier: Tier) -> None:
    """Raise FeatureNotInTier, naming the smallest tier whose users may bring keys."""
    if tier.own_provider_keys:
        return
    better = next((t for t in tiers_by_rank() if t.own_provider_keys), None)
    raise FeatureNotInTier(
        f"Your tier '{tier.code}' does not include provider keys of your own"
        + (f"; the tier '{better.code}' does." if better else "."),
        policy="own_provider_keys",
        scope="user",
        limit=False,
        used=True,
        resets_at=None,
        alternatives=_alternatives(better, ""),
    )


def require_file_size(tier: Tier, n_bytes: int) -> None:
    """Raise TooLarge, naming the smallest tier that takes a file of this size."""
    if n_bytes <= tier.max_file_bytes:
        return
    better = next((t for t in tiers_by_rank() if n_bytes <= t.max_file_bytes), None)
    raise TooLarge(
        f"The file has {n_bytes:,} bytes; your tier '{tier.code}' takes files of up "
        f"to {tier.max_file_bytes:,} bytes.",
        policy="file_bytes",
        scope="user",
        limit=tier.max_file_bytes,
        used=n_bytes,
        resets_at=None,
        alternatives=_alternatives(better, "Leave the file out or split it."),
    )


def _alternatives(better: Tier | None, otherwise: str) -> list[str]:
    found = [otherwise] if otherwise else []
    if better is not None:
        found.append(f"Move to the tier '{better.code}'.")
    return found
