"""What a user holds of what is limited by count, not by the hour."""

from dataclasses import dataclass

from accounts.keys import MAX_KEYS
from accounts.models import ApiKey, User, Webhook
from accounts.webhooks.endpoints import MAX_WEBHOOKS
from aiassist.lib.registry import tier_holdings
from billing.models import Tier

_LABELS = {  # column of a tier -> what it limits, and what frees it
    "max_workspaces": ("Workspaces", "when one is deleted"),
    "max_storage_bytes": ("Storage", "when files are deleted"),
    "max_files_per_workspace": ("Files in one workspace", "when they go"),
}


@dataclass(frozen=True, slots=True)
class Held:
    label: str
    limit: int
    used: int
    freed: str  # when there is room again
    is_bytes: bool = False

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


def held_by(user: User, tier: Tier) -> list[Held]:
    """Return what the user holds beside what the tier, or any account, may hold."""
    me = User.objects.filter(pk=user.pk)
    found = []
    for column, holders in tier_holdings.items():
        if column in _LABELS:
            label, freed = _LABELS[column]
            # Only who holds more than nothing is told of.
            used = dict(holders(me, 0)).get(user.pk, 0)
            is_bytes = column.endswith("_bytes")
            found.append(Held(label, getattr(tier, column), used, freed, is_bytes))
    keys = ApiKey.objects.for_user(user).usable().count()
    webhooks = Webhook.objects.for_user(user).count()
    return [
        *found,
        Held("API keys", MAX_KEYS, keys, "when one is revoked"),
        Held("Webhooks", MAX_WEBHOOKS, webhooks, "when one is deleted"),
    ]
