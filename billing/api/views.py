"""`limits` and `usage`: what is allowed, what is left, what was used."""

from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import ScopedView
from accounts.scopes import USAGE
from aiassist.api.pagination import NewestFirst, newest_first
from aiassist.api.refusals import problem
from aiassist.lib.errors import LimitRefused, NotFound
from billing.api import examples
from billing.api import serializers as shapes
from billing.metering.admission import limits_for
from billing.metering.dry_run import Wish, reasons_against
from billing.metering.outbox import write_everything
from billing.models import UsageRecord
from billing.reporting.csv_export import acsv_lines, csv_lines
from billing.reporting.insights import insights
from billing.reporting.usage import Sums, report

_BAD = problem(
    "validation_failed",
    "Some fields are not valid. Correct them and send the request again.",
    status=400,
    errors=[{"field": "period", "code": "invalid_choice", "detail": "…"}],
)


class BillingView(ScopedView):
    """The caller's own numbers; seeing them costs no quota."""

    throttle_group = "billing"


class LimitsView(BillingView):
    @extend_schema(
        tags=["Limits"],
        summary="What your tier allows and what is left",
        description=(
            "Windows, sizes, features and providers, exceptions that staff made for "
            "you included."
        ),
        operation_id="limits_retrieve",
        responses=shapes.LimitsOutput,
        examples=[examples.LIMITS],
    )
    def get(self, request: Request) -> Response:
        return Response(shapes.LimitsOutput(limits_for(self.principal.user)).data)


class LimitsCheckView(BillingView):
    @extend_schema(
        tags=["Limits"],
        summary="Ask whether a call would be allowed; nothing is spent",
        description=(
            "Judged by what judges the call itself; every reason against it is told, "
            "as the problem that the call would answer."
        ),
        operation_id="limits_check",
        request=shapes.LimitsCheckInput,
        responses={200: shapes.LimitsCheckOutput, 400: _BAD},
        examples=[examples.WISH, examples.REFUSED_WISH],
    )
    def post(self, request: Request) -> Response:
        wish = shapes.LimitsCheckInput(data=request.data)
        wish.is_valid(raise_exception=True)
        refusals = reasons_against(self.principal.user, Wish(**wish.validated_data))
        reasons = [_reason(refusal) for refusal in refusals]
        return Response({"allowed": not reasons, "reasons": reasons})


class UsageView(BillingView):
    scope = USAGE

    @extend_schema(
        tags=["Usage"],
        summary="What you used today, in 7 or in 30 days",
        description=(
            "Sums, a series by hour or day, and shares by feature, provider and model."
        ),
        operation_id="usage_retrieve",
        parameters=[shapes.UsageInput],
        responses={200: shapes.UsageOutput, 400: _BAD},
        examples=[examples.USAGE],
    )
    def get(self, request: Request) -> Response:
        asked = shapes.UsageInput(data=request.query_params)
        asked.is_valid(raise_exception=True)
        found = report(self.principal.user, asked.validated_data["period"])
        body = {
            "period": found.period,
            "start": found.start,
            "end": found.end,
            "totals": asdict(found.totals),
            "series": [{"start": at, **asdict(sums)} for at, sums in found.series],
            "by_feature": _named("feature", found.by_feature),
            "by_provider": _named("provider", found.by_provider),
            "by_model": _named("model", found.by_model),
        }
        return Response(shapes.UsageOutput(body).data)


class CSVRenderer(BaseRenderer):
    """Lets `?format=csv` and `Accept: text/csv` be asked for."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        # The rows are streamed past this; only problems come here.
        return JSONRenderer().render(data)


class UsageRecordsView(BillingView):
    scope = USAGE
    renderer_classes = [JSONRenderer, CSVRenderer]
    pagination_class = NewestFirst

    @extend_schema(
        tags=["Usage"],
        summary="Your metered calls one by one, as JSON pages or as CSV",
        description="Newest first. CSV holds all rows at once and has no pages.",
        operation_id="usage_records_list",
        parameters=[
            shapes.RecordsInput,
            OpenApiParameter("format", enum=["json", "csv"]),
            OpenApiParameter("cursor", description="Of the next page."),
            OpenApiParameter("page_size", int, description="1 to 200; 50 by default."),
        ],
        responses={
            (200, "application/json"): shapes.RecordPageOutput,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "All rows."),
            (400, "application/problem+json"): _BAD,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = shapes.RecordsInput(data=request.query_params)
        asked.is_valid(raise_exception=True)
        write_everything()
        records = UsageRecord.objects.for_user(self.principal.user_id).fitting(
            **asked.validated_data
        )
        if request.accepted_renderer.format == "csv":
            # Under ASGI the rows must come asynchronously to be streamed at all.
            streams = isinstance(request._request, ASGIRequest)
            return StreamingHttpResponse(
                acsv_lines(records) if streams else csv_lines(records),
                content_type="text/csv; charset=utf-8",
                headers={"Content-Disposition": 'attachment; filename="usage.csv"'},
            )
        return newest_first(self, request, records, shapes.RecordOutput)


class InsightsView(BillingView):
    scope = USAGE

    @extend_schema(
        tags=["Usage"],
        summary="Favourite features, habits, the tier that fits, what to save",
        description="Of the last 30 days.",
        operation_id="usage_insights",
        responses={200: shapes.InsightsOutput},
        examples=[examples.INSIGHTS],
    )
    def get(self, request: Request) -> Response:
        if not settings.ANALYTICS_ENABLED:
            raise NotFound("Insights are switched off on this server.")
        return Response(shapes.InsightsOutput(insights(self.principal.user)).data)


def _named(name: str, groups: Iterable[tuple[str, Sums]]) -> list[dict[str, Any]]:
    return [{name: value, **asdict(sums)} for value, sums in groups]


def _reason(refusal: LimitRefused) -> dict[str, Any]:
    """Return the members of the problem that the real call would answer."""
    details = {k: v for k, v in refusal.details.items() if k != "headers"}
    return {
        "type": f"/guides/errors/#{refusal.code}",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.sentence,
        "code": refusal.code,
        **details,
    }
