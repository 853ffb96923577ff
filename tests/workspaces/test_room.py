"""Refusals by size name the tier, its limit, and the next tier that takes more."""

import io

import pytest

from billing.models import Tier
from tests.workspaces.packing import zip_of
from workspaces.errors import ArchiveTooLarge
from workspaces.receiving.unpacking import MB, Limits, open_archive
from workspaces.room import room_of

pytestmark = pytest.mark.django_db


def tier(code="free", **limits):
    Tier.objects.filter(pk=code).update(**limits)
    return Tier.objects.get(pk=code)


def refused(packed, limits):
    with pytest.raises(ArchiveTooLarge) as refusal:
        for entry in open_archive(packed, limits).entries():
            entry.read()
    return refusal.value


def test_the_next_tier_that_takes_more_is_named():
    room = room_of(tier(), lambda t: t.max_workspaces, lambda n: f"{n} of them")

    assert room.sentence == "The tier 'free' takes 5 of them, 'pro' 50 of them."
    assert room.alternatives == ["Move to the tier 'pro' (50 of them)."]


def test_a_tier_that_takes_no_more_is_passed_over():
    tier("pro", max_workspaces=5)
    room = room_of(tier(), lambda t: t.max_workspaces, str)
    assert room.alternatives == ["Move to the tier 'enterprise' (500)."]


def test_the_largest_tier_says_that_it_is_one():
    room = room_of(tier("enterprise"), lambda t: t.max_workspaces, str)

    assert room.sentence == "The tier 'enterprise' takes 500, as much as any."
    assert room.alternatives == []


def test_an_archive_of_too_many_entries_says_which_tier_takes_more():
    few = tier(max_files_per_workspace=1)
    packed = zip_of({f"{n}.py": "x" for n in range(5)})

    refusal = refused(packed, Limits.of(few))

    assert refusal.sentence.startswith("This archive has more than 4 entries. The tier")
    assert "'pro' 400,000 of them" in refusal.sentence
    assert refusal.details["alternatives"] == [
        "Send fewer files.",
        "Use the sync endpoints.",
        "Move to the tier 'pro' (400,000 of them).",
    ]


def test_an_archive_that_unpacks_to_too_much_says_which_tier_takes_more():
    limits = Limits(10, 9 * MB, max_inflated_bytes=1000, tier=tier())

    refusal = refused(zip_of({"a.py": bytes(5000)}), limits)

    assert "The tier 'free' takes 1,424 MB, 'pro' 5,120 MB." in refusal.sentence
    assert refusal.details["limit"] == 1000


def test_limits_of_no_tier_name_none():
    refusal = refused(zip_of({"a.py": bytes(5000)}), Limits(10, 9 * MB, 1000))

    assert "tier" not in refusal.sentence


@pytest.mark.parametrize(
    ("limits", "path", "sentence"),
    [
        ({"max_file_bytes": 3}, "files/a.py", "'free' takes 0.0 MB a file, 'pro'"),
        ({"max_storage_bytes": 3}, "files/a.py", "'free' stores 0.0 MB, 'pro'"),
        ({"max_files_per_workspace": 0}, "files/a.py", "'free' holds 0 files in a"),
        ({"max_storage_bytes": 3}, "archive", "'free' stores 0.0 MB, 'pro'"),
    ],
)
def test_each_refusal_by_size_does_so_over_http(alice, queue, limits, path, sentence):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/{path}"
    tier(**limits)
    if path == "archive":
        answer = alice.api.post(address, {"file": _named(zip_of({"a.py": "x = 1"}))})
    else:
        answer = alice.api.generic("PUT", address, b"x = 1\n")

    told = answer.json()
    assert (answer.status_code, sentence in told["detail"]) == (413, True), told
    assert told["alternatives"][-1].startswith("Move to the tier 'pro' (")


def test_one_workspace_too_many_says_which_tier_holds_more(alice):
    tier(max_workspaces=0)

    answer = alice.api.post("/api/v1/workspaces", {"name": "x"}, format="json").json()

    assert answer["detail"].startswith("The tier 'free' holds 0 workspaces, 'pro' 50")


def _named(file):
    named = io.BytesIO(file.getvalue())
    named.name = "code.zip"
    return named
