"""One writer per workspace: a lease in the workspace's row, renewed while it works.

A worker that dies leaves the lease to run out; a worker that was frozen past its end
notices at its next renewal and stops.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from aiassist.lib.clock import now
from workspaces.models import Workspace


class LeaseLost(Exception):
    """Another worker took over, or the workspace is gone: stop without a trace."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a workspace's points until it runs out."""

    workspace_id: str
    token: str

    def renew(self) -> bool:
        """Hold it for as long again. False: it is lost or the workspace is gone."""
        return bool(
            Workspace.objects.living()
            .filter(pk=self.workspace_id, lease_token=self.token)
            .update(lease_until=now() + lease_time())
        )

    def release(self) -> None:
        """Give it up, so that the next may start at once."""
        Workspace.objects.filter(pk=self.workspace_id, lease_token=self.token).update(
            lease_until=None, lease_token=""
        )


def locked_by(lease: Lease) -> Workspace:
    """Return the workspace's row, locked. Raises LeaseLost."""
    workspace = (
        Workspace.objects.living()
        .select_for_update()
        .filter(pk=lease.workspace_id, lease_token=lease.token)
        .first()
    )
    if workspace is None:
        raise LeaseLost
    return workspace


def lease_time() -> timedelta:
    return timedelta(seconds=settings.INDEX_LEASE_SECONDS)


def take_lease(workspace_id: str) -> Lease | None:
    """Return the workspace's lease, None while another holds it."""
    lease = Lease(workspace_id, secrets.token_hex(16))
    moment = now()
    taken = (
        Workspace.objects.leasable(moment)
        .filter(pk=workspace_id)
        .update(lease_token=lease.token, lease_until=moment + lease_time())
    )
    return lease if taken else None


def break_leases() -> int:
    """Free every workspace: for a start-up where no other process can be at work."""
    return (
        Workspace.objects.exclude(lease_until=None)
        .order_by()
        .update(lease_until=None, lease_token="")
    )
