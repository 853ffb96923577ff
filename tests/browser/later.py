"""What staff and time do to somebody meanwhile, on the data of a running site.

`python manage.py shell -c "from tests.browser import later; later.promote(EMAIL)"`
"""

from accounts.expiry import warn_of_expiry
from accounts.models import User
from billing.models import Tier
from billing.tiers.subscriptions import change_tier


def promote(email: str) -> None:
    """Put somebody on Pro, and send the mails that are due about keys."""
    change_tier(User.objects.get(email=email), Tier.objects.get(code="pro"), None)
    warn_of_expiry()
