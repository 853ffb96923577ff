"""Metering for sync DRF views: admit before the handler, settle after it."""

from dataclasses import replace
from typing import Any, ClassVar, cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.principals import Principal
from aiassist.api.throttles import UnmeteredThrottle
from aiassist.lib import clock
from billing.metering.admission import Admission, admit
from billing.metering.ledger import Settlement, release, settle
from billing.metering.requests import endpoint_of, request_id_of


class MeteredMixin(APIView):
    """A view whose calls count. Its answers carry the rate limit headers.

    An answer of 400 or more costs nothing: quota counts what was served. Override
    `settlement_of` to tell tokens, provider and model; latency is filled in.
    """

    metered_feature: ClassVar[str]
    admission: Admission | None = None
    # Calls that fail cost no quota, so a flood of them is held back here.
    throttle_classes = [UnmeteredThrottle]
    throttle_group = "metered"
    throttle_per_user = "1200/m"
    throttle_per_address = "6000/m"

    def settlement_of(self, response: Response) -> Settlement:
        """Return what the answered call cost."""
        return Settlement()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower()
        if method == "options" or not hasattr(self, method):
            return  # answered without any work
        principal = cast(Principal, request.auth)
        self.admission = admit(
            principal,
            feature=self.metered_feature,
            endpoint=endpoint_of(request),
            request_id=request_id_of(request),
        )

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.admission is None:
            return answer
        limits = self.admission.limits
        if answer.status_code >= 400:
            release(self.admission)
            limits = limits.after_return()
        else:
            spent = clock.now() - self.admission.started_at
            settle(
                self.admission,
                replace(
                    self.settlement_of(answer),
                    latency_ms=int(spent.total_seconds() * 1000),
                ),
            )
        self.admission = None
        for name, value in limits.headers().items():
            answer[name] = value
        return answer

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            # A crash answers 500 outside of DRF; it costs the user nothing.
            if self.admission is not None:
                release(self.admission)
