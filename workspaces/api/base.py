"""What the workspaces' API views share."""

from accounts.api.base import ScopedView
from accounts.scopes import WORKSPACES
from aiassist.api.refusals import problem
from workspaces.access import get_workspace
from workspaces.models import Workspace


class WorkspaceAPIView(ScopedView):
    """A view below one workspace, or over all of the principal's."""

    scope = WORKSPACES
    throttle_group = "workspaces"

    def get_workspace(self) -> Workspace:
        """Return the workspace of the address. Raises NotFound for strangers."""
        return get_workspace(self.principal.user, self.kwargs["workspace_id"])


UNKNOWN = problem("not_found", "There is nothing here under this id.", 404)
STORAGE_FULL = problem(
    "storage_exceeded",
    "Your tier's storage is full. Delete files or workspaces to make room.",
    413,
    policy="storage_bytes",
    scope="user",
    limit=209715200,
    used=209000000,
    resets_at=None,
    alternatives=["Delete files or workspaces.", "Move to a larger tier."],
)
