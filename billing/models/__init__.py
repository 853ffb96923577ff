"""Tiers and who holds them; what is held and what was used; the day rollups."""

from billing.models.ledger import Quota, Reservation, UsageRecord
from billing.models.override import LimitOverride
from billing.models.rollup import RollupMark, UsageDay
from billing.models.tier import FEATURES, PROVIDERS, Subscription, Tier

__all__ = [
    "FEATURES",
    "LimitOverride",
    "PROVIDERS",
    "Quota",
    "Reservation",
    "RollupMark",
    "Subscription",
    "Tier",
    "UsageDay",
    "UsageRecord",
]
