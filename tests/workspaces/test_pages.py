"""The pages of workspaces: mistakes are told on the form, and nothing is lost."""

import pytest
from django.urls import reverse

from tests.workspaces.packing import zip_of
from workspaces import views
from workspaces.content.files import put_file
from workspaces.errors import VectorsUnavailable
from workspaces.jobs.queue import cancel_job
from workspaces.models import IndexJob, SourceFile, Workspace


def page(name, *ids):
    return reverse(f"workspaces:{name}", args=ids)


@pytest.fixture
def filled(alice):
    for path in ("src/a.py", "src/net/client.py", "README.md"):
        put_file(workspace=alice.workspace, path=path, data=f"# {path}\n".encode())
    return alice.workspace


def test_an_upload_without_a_file_says_so(alice, vectors):
    shown = alice.web.post(page("upload", alice.workspace.pk), {})

    assert shown.status_code == 400
    assert "This field is required" in shown.text


def test_a_broken_archive_says_so_on_the_form(alice, vectors):
    archive = zip_of({"a.py": "x"})
    archive.name = "code.zip"
    archive.truncate(30)

    shown = alice.web.post(page("upload", alice.workspace.pk), {"file": archive})

    assert (shown.status_code, "cut off" in shown.text) == (400, True)
    assert not SourceFile.objects.exists()


def test_a_workspace_is_renamed(alice, charlie):
    address = page("rename", alice.workspace.pk)

    assert charlie.web.post(address, {"name": "stolen"}).status_code == 404
    assert alice.web.post(address, {"name": " payments "}).status_code == 302
    assert Workspace.objects.get().name == "payments"
    for bad in ("", "\u202egnp", "x" * 101):
        shown = alice.web.post(address, {"name": bad})
        assert (shown.status_code, "alert" in shown.text) == (200, True)
    assert Workspace.objects.get().name == "payments"


def test_an_index_is_asked_for_anew(alice, filled):
    answer = alice.web.post(page("reindex", filled.pk))

    assert answer.status_code == 302
    assert IndexJob.objects.get(state="queued").rebuild


def test_a_job_is_shown_on_its_workspaces_page(alice, filled):
    job = IndexJob.objects.get()

    answer = alice.web.get(page("job", filled.pk, job.pk))

    assert answer["Location"] == page("detail", filled.pk)


def test_cancelling_what_is_over_is_no_mistake(alice, filled):
    job = IndexJob.objects.get()
    cancel_job(job=job)

    answer = alice.web.post(page("cancel", filled.pk, job.pk), follow=True)

    assert answer.status_code == 200
    assert "This job is over" in answer.text


def test_files_are_found_by_words_of_their_paths(alice, filled):
    address = page("files", filled.pk)

    both = alice.web.get(address, {"q": "src client"})
    rows = alice.web.get(address, {"q": "READ"}, headers={"HX-Request": "true"})

    assert [f.path for f in both.context["page"]] == ["src/net/client.py"]
    assert "README.md" in rows.text and "<html" not in rows.text
    assert alice.web.get(address, {"q": "nowhere"}).status_code == 200


def test_a_file_that_is_no_text_says_why_it_is_not_shown(alice, vectors):
    put_file(workspace=alice.workspace, path="odd.py", data=b"\x00\x01\x02" * 99)

    shown = alice.web.get(page("source", alice.workspace.pk, "odd.py"))

    assert shown.status_code == 200
    assert "binary" in shown.text


def test_the_page_stands_while_the_vector_database_is_away(alice, filled, monkeypatch):
    class Away:
        def count(self, workspace_id):
            raise VectorsUnavailable

    monkeypatch.setattr(views, "get_store", Away)

    shown = alice.web.get(page("detail", filled.pk))

    assert (shown.status_code, shown.context["health"].points) == (200, None)


def test_staff_ask_for_a_new_index_of_what_has_failed(stella, alice, filled, queue):
    failed = IndexJob.objects.get()
    IndexJob.objects.update(state="failed")

    answer = stella.web.post(
        "/admin/workspaces/indexjob/",
        {"action": "retry", "_selected_action": [failed.pk]},
        follow=True,
    )

    assert "1 jobs wait" in answer.text
    assert IndexJob.objects.get(state="queued").rebuild
