"""What the account's API views share."""

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.principals import Principal
from accounts.scopes import ACCOUNT
from aiassist.api.throttles import UnmeteredThrottle


class AccountAPIView(APIView):
    """Signed in, with the scope `account` for whatever changes something."""

    safe_scope: ClassVar[str | None] = ACCOUNT  # None: any credential may read
    throttle_classes = [UnmeteredThrottle]
    throttle_group = "account"

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if request.method in ("GET", "HEAD", "OPTIONS") and self.safe_scope is None:
            return
        self.principal.require_scope(ACCOUNT)

    @property
    def principal(self) -> Principal:
        auth = self.request.auth
        assert isinstance(auth, Principal)
        return auth
