"""Metering for plain functions: admit before the work, settle after it."""

from collections.abc import Iterator
from contextlib import contextmanager

from accounts.principals import Principal
from aiassist.lib import clock
from billing.metering.admission import Admission, admit
from billing.metering.ledger import Settlement, release, settle


@contextmanager
def metered(
    principal: Principal,
    *,
    feature: str,
    endpoint: str,
    request_id: str,
    workspace_id: str = "",
) -> Iterator[Admission]:
    """Count the block as one call; a block that raises costs nothing.

    Raises QuotaExceeded before the block runs.
    """
    admission = admit(
        principal, feature=feature, endpoint=endpoint, request_id=request_id
    )
    served = False
    try:
        yield admission
        served = True
    finally:
        if served:
            spent = clock.now() - admission.started_at
            settle(
                admission,
                Settlement(
                    workspace_id=workspace_id,
                    latency_ms=int(spent.total_seconds() * 1000),
                ),
            )
        else:
            release(admission)
