"""Plots: sharp, readable as a table, and "no data" never looks like zero."""

from datetime import timedelta

import pytest
from django.urls import reverse

from aiassist.lib.clock import now
from aiassist.lib.plots import Point, bar_plot, line_plot, nice_top
from billing.models import UsageRecord
from billing.reporting.dashboards import error_percent, latency_of
from billing.reporting.usage import Sums


def shown(number):
    return f"{number:g}"


@pytest.fixture
def record(alice):
    def make(n=0, **fields):
        moment = now() - timedelta(hours=n)
        return UsageRecord.objects.create(
            user=alice.user,
            reservation_id=f"res_{n}",
            request_id=f"req_{n}",
            tier_code="free",
            endpoint="assistant/chat",
            feature="basic_chat",
            admitted_at=moment,
            created_at=moment,
            **{"status": "ok", "latency_ms": 100} | fields,
        )

    return make


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (3, 4), (5, 6), (7, 8), (9, 10), (43, 60), (1001, 2000)]
)
def test_an_axis_ends_at_a_round_number(most, top):
    assert nice_top(most) == top


def test_no_data_is_a_gap_and_zero_is_a_line_on_the_axis():
    points = [Point("a", (3, 1)), Point("b", (0, 0)), Point("c", (None, None))]
    plot = bar_plot("x", "X", ("In", "Out"), points, shown)

    assert len(plot.gaps) == 1
    assert [bar.height for bar in plot.bars if "b" in bar.title] == [0, 0, 0.6]
    assert plot.rows[1:] == [("b", ["0", "0"]), ("c", ["no data", "no data"])]
    assert plot.bars[0].height == 75 and plot.bars[1].y == 0


def test_the_middle_of_a_count_is_a_whole_number():
    plot = bar_plot("x", "X", ("In",), [Point("a", (1,))], shown)

    assert plot.y_labels == ["2", "1", "0"]


def test_a_line_breaks_where_there_is_no_data():
    points = [Point(str(n), (v,)) for n, v in enumerate([1, 2, None, 3])]
    plot = line_plot("x", "X", ("Only",), points, shown)

    assert [line.path.count("L") for line in plot.lines] == [1, 0]
    assert plot.lines[1].path.endswith("h0")


def test_nothing_at_all_is_said_in_words(alice):
    shown_page = alice.web.get(reverse("usage:home"))

    assert shown_page.text.count("No data in this period.") == 5
    assert "0 %" not in shown_page.text and "0 ms" not in shown_page.text
    assert error_percent(Sums()) is None and latency_of([]) is None


def test_percentiles_are_by_nearest_rank():
    found = latency_of(range(1, 101))

    assert found and (found.median_ms, found.p95_ms) == (50, 95)


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_usage_shows_keys_errors_and_latency(alice, record, period):
    record(0, key_id=alice.api_key.pk, cost_usd_micros=1500, tokens_in=10)
    record(1, status="error")
    page = alice.web.get(reverse("usage:home"), {"period": period})
    found = page.context["dashboard"]

    assert {use.name for use in found.by_key} <= {"test key", "This site, signed in"}
    assert "test key" in page.text and "<svg" in page.text
    assert found.latency.median_ms == 100
    assert "As a table" in page.text and "since=" in page.context["csv_query"]


def test_the_csv_holds_the_periods_calls(alice, record):
    record(0)
    page = alice.web.get(reverse("usage:home"), {"period": "day"})
    answer = alice.web.get(f"{reverse('usage-records')}?{page.context['csv_query']}")
    lines = b"".join(answer).decode().strip().splitlines()

    assert answer["Content-Type"].startswith("text/csv") and len(lines) == 2


def test_the_page_lists_the_periods_calls(alice, record):
    record(24 * 3, model="of-the-week")
    page = reverse("usage:home")
    today = alice.web.get(page, {"period": "day"}).text

    assert "of-the-week" in alice.web.get(page, {"period": "week"}).text
    assert "of-the-week" not in today and "No call in this period." in today
