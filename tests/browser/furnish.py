"""Fill a running site's tables, so that staff have something to look at.

`python manage.py shell -c "from tests.browser import furnish; furnish.furnish()"`
on the data of that site.
"""

from accounts.models import DataExport, Webhook
from accounts.webhooks.events import TEST, new_event_id
from billing.models import LimitOverride
from tests.support import demo
from tests.support.holdings import holdings_of
from tests.support.people import Person


def furnish() -> str:
    """Make Stella (staff), Ada and others with calls, and Alice; return Alice's key.

    Alice owns one of everything.
    """
    demo.fill(people=3, calls=100)
    alice = Person("Alice")
    held = holdings_of(alice)
    Webhook.objects.get(pk=held["webhook_id"]).deliveries.create(
        event_id=new_event_id(), event_type=TEST, data={}
    )
    DataExport.objects.create(user=alice.user)
    LimitOverride.objects.create(
        user=alice.user, limits={"requests_per_hour": 9}, reason="tried out"
    )
    return alice.key
