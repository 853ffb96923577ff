"""Fill the database with people and a month of calls, to look at pages with.

`DATA_DIR=… DJANGO_SETTINGS_MODULE=aiassist.settings.embedded \
python -m tests.support.demo [--people 40]`: prints how to sign in. Never shipped.
"""
# ruff: noqa: PLC0415 - models can be imported only after django.setup()

import argparse
import random
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from accounts.models import User

PASSWORD = "correct horse battery staple"
MIX = (  # feature, endpoint, provider, model, share of calls
    ("basic_chat", "assistant/chat", "anthropic", "claude-sonnet", 30),
    ("basic_chat", "v1/chat/completions", "openai", "gpt-mini", 22),
    ("basic_chat", "assistant/chat", "ollama", "qwen3-coder", 10),
    ("search", "workspaces/{workspace_id}/search", "", "", 20),
    ("code_explanation", "assistant/explain", "anthropic", "claude-sonnet", 8),
    ("inline_completion", "v1/completions", "ollama", "qwen3-coder", 10),
)
STATUSES = ["ok"] * 93 + ["error"] * 4 + ["cancelled"] * 3


def fill(people: int = 12, calls: int = 700, *, seed: int = 7) -> "User":
    """Make Ada (pro, many calls), Stella (staff) and others; return Ada."""
    from accounts import keys
    from accounts.people import create_person
    from billing.models import RollupMark, Tier
    from billing.reporting.rollups import roll_up
    from billing.tiers.subscriptions import change_tier

    dice = random.Random(seed)
    ada = create_person(email="ada@example.test", password=PASSWORD, full_name="Ada B.")
    create_person(
        email="stella@example.test",
        password=PASSWORD,
        full_name="Stella",
        is_staff=True,
    )
    change_tier(ada, Tier.objects.get(pk="pro"), actor=None)
    names = ("laptop, VS Code", "CI", "Claude Code")
    held = [keys.create_key(ada, name)[0].pk for name in names]
    _calls(ada, held, calls, dice)
    for n in range(people):
        other = create_person(
            email=f"dev{n}@example.test", password=None, full_name=f"Developer {n}"
        )
        _calls(other, [""], dice.randrange(0, max(1, calls // 4)), dice)
    RollupMark.objects.all().delete()  # these days came in later than it tells
    roll_up()
    return ada


def _calls(user: "User", held: list[str], n: int, dice: random.Random) -> None:
    """Write n calls over the last 30 days, more of them lately and by day."""
    from aiassist.lib.clock import now
    from billing.models import UsageRecord

    moment = now()
    rows = []
    for i in range(n):
        days = 29 * (1 - dice.random() ** 0.6)
        at = moment - timedelta(days=days, minutes=dice.randrange(1, 600))
        feature, endpoint, provider, model, _ = dice.choices(
            MIX, weights=[each[-1] for each in MIX]
        )[0]
        tokens_in = dice.randrange(300, 9000) if model else 0
        tokens_out = dice.randrange(40, 1200) if model else 0
        price = {"anthropic": (3, 15), "openai": (1, 4)}.get(provider, (0, 0))
        rows.append(
            UsageRecord(
                reservation_id=f"res_demo_{user.pk}_{i}",
                user=user,
                request_id=f"req_demo_{i}",
                key_id=dice.choice(held),
                tier_code="pro",
                endpoint=endpoint,
                feature=feature,
                provider=provider,
                model=model,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cost_usd_micros=tokens_in * price[0] + tokens_out * price[1],
                status=dice.choice(STATUSES),
                latency_ms=int(dice.lognormvariate(7 if model else 4, 0.7)),
                first_token_ms=int(dice.lognormvariate(5.5, 0.5)) if model else None,
                admitted_at=at,
                created_at=at,
            )
        )
    UsageRecord.objects.bulk_create(rows)


if __name__ == "__main__":
    django.setup()
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=12)
    fill(parser.parse_args().people)
    sys.stdout.write(f"ada@example.test, stella@example.test: {PASSWORD}\n")
