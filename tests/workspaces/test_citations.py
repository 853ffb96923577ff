"""Whether cited lines are still what they were, as files change below them."""

from dataclasses import replace
from hashlib import sha256

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from workspaces.content.files import delete_file, put_file
from workspaces.finding.citations import as_they_stand, check_citations, check_lines
from workspaces.finding.search import Hit

BEFORE = "".join(f"line {n}\n" for n in range(1, 21))
SHA = sha256(BEFORE.encode()).hexdigest()


@pytest.fixture
def cited(alice, indexer):
    """A file whose old content an index still shows, then its new content."""
    indexer.index(alice.workspace, {"a.py": BEFORE})

    def change(text):
        put_file(workspace=alice.workspace, path="a.py", data=text.encode())
        return lambda start, end: check_lines(
            workspace=alice.workspace, path="a.py", start=start, end=end, sha256=SHA
        )

    return change


def test_lines_before_a_change_are_the_same(cited):
    check = cited(BEFORE.replace("line 15", "LINE 15"))

    assert not check(1, 14).changed
    assert check(10, 15).changed
    assert not check(16, 20).changed


def test_lines_that_moved_are_found_again(cited):
    check = cited("new\nnew\n" + BEFORE)

    assert check(3, 5).changed
    assert check(3, 5).moved_to == (5, 7)


def test_lines_that_stand_twice_or_are_blank_have_not_moved(cited):
    check = cited("x\n" + BEFORE + BEFORE)

    assert check(3, 5).changed
    assert check(3, 5).moved_to is None


def test_lines_of_a_file_that_is_gone_or_unknown_have_changed(alice, cited, queue):
    check = cited(BEFORE + "more\n")
    other = check_lines(
        workspace=alice.workspace, path="a.py", start=1, end=2, sha256="0" * 64
    )
    assert (other.exists, other.changed) == (True, True)

    delete_file(workspace=alice.workspace, path="a.py")

    assert (check(1, 2).exists, check(1, 2).changed) == (False, True)


def hit(alice, sha=SHA, path="a.py"):
    return Hit(alice.workspace.pk, path, 1, 2, "python", "", 1.0, "", sha, 1)


def test_unchanged_citations_cost_one_query(alice, queue):
    put_file(workspace=alice.workspace, path="a.py", data=BEFORE.encode())
    hits = [hit(alice) for _ in range(30)]

    with CaptureQueriesContext(connection) as queries:
        checks = check_citations(workspace=alice.workspace, citations=hits)

    assert len(queries) == 1
    assert not any(check.changed for check in checks)


def test_unchanged_hits_cost_one_query_a_workspace(alice, queue):
    put_file(workspace=alice.workspace, path="a.py", data=BEFORE.encode())

    with CaptureQueriesContext(connection) as queries:
        told = as_they_stand([hit(alice) for _ in range(30)], [alice.workspace])

    assert len(queries) == 1
    assert len(told) == 30


def now(alice, *hits):
    return as_they_stand(hits, [alice.workspace])


def test_a_hit_is_cited_where_its_lines_stand_now(alice, cited):
    found = replace(hit(alice), start_line=3, end_line=5)
    text = "new\nnew\n" + BEFORE
    cited(text)

    (told,) = now(alice, found)

    assert (told.start_line, told.end_line, told.changed) == (5, 7, False)
    assert told.sha256 == sha256(text.encode()).hexdigest()


def test_a_hit_whose_lines_are_no_more_says_so_and_an_untouched_one_does_not(
    alice, cited
):
    early, late = hit(alice), replace(hit(alice), start_line=14, end_line=16)
    cited(BEFORE.replace("line 15", "LINE 15"))

    told = now(alice, late, early)

    assert [(one.start_line, one.changed) for one in told] == [(14, True), (1, False)]
    assert told[0].sha256 == SHA != told[1].sha256


def test_a_hit_of_a_deleted_file_is_not_cited(alice, cited, queue):
    cited(BEFORE + "more\n")
    delete_file(workspace=alice.workspace, path="a.py")

    assert now(alice, hit(alice)) == []


def test_an_answer_cites_lines_where_they_stand_now(alice, cited):
    """The index is older than the file: its citation follows the file."""
    cited("# new\n" * 5 + BEFORE)

    said = alice.api.post(
        "/api/v1/assistant/chat",
        {"message": "line 7", "workspace_id": alice.workspace.pk},
        format="json",
    ).json()

    first = said["citations"][0]
    assert (first["path"], first["start_line"], first["changed"]) == ("a.py", 6, False)


def ask(alice, query):
    address = f"/api/v1/workspaces/{alice.workspace.pk}/files/a.py?{query}"
    return alice.api.get(address)


def test_reading_lines_says_when_they_have_changed_since(alice, cited):
    cited("new\n" + BEFORE)

    told = ask(alice, f"lines=2-3&sha256={SHA}").json()
    assert (told["text"], told["start_line"], told["end_line"]) == (
        "line 1\nline 2",
        2,
        3,
    )
    assert (told["changed"], told["moved_to"]) == (True, "3-4")
    same = ask(alice, f"lines=2-3&sha256={told['sha256']}").json()
    assert (same["changed"], same["moved_to"]) == (False, None)
    assert ask(alice, "lines=2-3").json()["changed"] is None


def test_lines_beyond_a_shortened_file_are_changed_not_an_error(alice, cited):
    cited("only\n")

    told = ask(alice, f"lines=10-12&sha256={SHA}").json()

    assert (told["changed"], told["text"], told["lines"]) == (True, "", 1)
    assert ask(alice, "lines=10-12").status_code == 400


@pytest.mark.parametrize(
    "query",
    ["lines=0-3", "lines=3-2", "lines=a-b", "lines=1-99999999999", "sha256=x", "end=0"],
)
def test_f5_a_bad_span_is_a_clear_400(alice, queue, query):
    put_file(workspace=alice.workspace, path="a.py", data=b"1\n")

    assert ask(alice, query).status_code == 400
