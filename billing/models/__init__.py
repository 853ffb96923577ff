"""Tiers and who holds them; what is held and what was used; the day rollups."""

from billing.models.ledger import Quota, Reservation, UsageRecord
from billing.models.override import LimitOverride
from billing.models.refusal import Refusal
from billing.models.rollup import DaySpeed, DayTotal, RollupMark, UsageDay
from billing.models.tier import FEATURES, PROVIDERS, Subscription, Tier

__all__ = [
    "DaySpeed",
    "DayTotal",
    "FEATURES",
    "LimitOverride",
    "PROVIDERS",
    "Quota",
    "Refusal",
    "Reservation",
    "RollupMark",
    "Subscription",
    "Tier",
    "UsageDay",
    "UsageRecord",
]
