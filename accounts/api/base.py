"""What the API's views share: who calls, and with which scope."""

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.principals import Principal
from accounts.scopes import ACCOUNT
from aiassist.api.throttles import UnmeteredThrottle

_SAFE = ("GET", "HEAD", "OPTIONS")


class ScopedView(APIView):
    """A view for the signed in; `scope` is what their credential must hold."""

    scope: ClassVar[str] = ""  # "": any credential
    throttle_classes = [UnmeteredThrottle]

    def scope_of(self, method: str) -> str:
        """Return the scope that a method takes; "": any credential."""
        return self.scope

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if scope := self.scope_of(request.method or ""):
            self.principal.require_scope(scope)

    @property
    def principal(self) -> Principal:
        auth = self.request.auth
        assert isinstance(auth, Principal)
        return auth


class AccountAPIView(ScopedView):
    """Signed in, with the scope `account` for whatever changes something."""

    scope = ACCOUNT
    safe_scope: ClassVar[str] = ACCOUNT  # "": any credential may read
    throttle_group = "account"

    def scope_of(self, method: str) -> str:
        return self.safe_scope if method in _SAFE else self.scope
