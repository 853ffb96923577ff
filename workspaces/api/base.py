"""What the workspaces' API views share."""

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.principals import Principal
from aiassist.api.refusals import problem
from aiassist.api.throttles import UnmeteredThrottle
from workspaces.access import get_workspace
from workspaces.models import Workspace


class WorkspaceAPIView(APIView):
    """A view below one workspace, or over all of the principal's."""

    scope: ClassVar[str] = "workspaces"
    throttle_classes = [UnmeteredThrottle]
    throttle_group = "workspaces"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.principal.require_scope(self.scope)

    @property
    def principal(self) -> Principal:
        auth = self.request.auth
        assert isinstance(auth, Principal)
        return auth

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
