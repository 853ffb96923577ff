"""Lists in pages: `next` leads through all, and a cursor of nobody's making is 400."""

from base64 import b64encode

import pytest

from workspaces.content.files import put_file
from workspaces.services import create_workspace

WORKSPACES = "/api/v1/workspaces"


def cursor(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_next_leads_through_every_row_once(alice):
    for name in ("one", "two", "three"):
        create_workspace(user=alice.user, name=name)
    names, address = [], f"{WORKSPACES}?page_size=2"

    while address:
        page = alice.api.get(address).json()
        names += [workspace["name"] for workspace in page["results"]]
        address = page["next"]

    assert names == ["three", "two", "one"]


def test_next_leads_through_paths_that_are_no_ascii(alice, queue):
    for path in ("a.py", "ä ö.py", "日本.py"):
        put_file(workspace=alice.workspace, path=path, data=b"x = 1\n")
    paths, address = [], f"{WORKSPACES}/{alice.workspace.pk}/files?page_size=1"

    while address:
        page = alice.api.get(address).json()
        paths += [file["path"] for file in page["results"]]
        address = page["next"]

    assert sorted(paths) == ["a.py", "ä ö.py", "日本.py"]


@pytest.mark.parametrize(
    "given",
    [
        "not base64!",
        "%ff%fe",
        cursor("p=yesterday"),
        cursor("p=2026-02-31T00:00:00Z"),
        cursor("p=2026-11-23T00:00:00"),
        cursor("p=%00"),
        cursor("o=minus"),
        cursor("r=x"),
    ],
)
def test_a_cursor_that_is_none_of_ours_is_400(alice, given):
    answer = alice.api.get(WORKSPACES, {"cursor": given})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


def test_a_path_with_a_nul_is_no_place_in_a_list(alice):
    files = f"{WORKSPACES}/{alice.workspace.pk}/files"

    assert alice.api.get(files, {"cursor": cursor("p=%00")}).status_code == 400
    assert alice.api.get(files, {"cursor": cursor("p=x.py")}).status_code == 200
