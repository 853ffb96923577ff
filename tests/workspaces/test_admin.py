"""Staff rebuild and cancel; they change and read nothing else."""

import pytest
from django.contrib.auth.models import Permission

from accounts.models import AuditEvent
from aiassist.lib.clock import now
from workspaces.content.files import put_file
from workspaces.indexing.runner import run_slice
from workspaces.jobs.leases import take_lease
from workspaces.jobs.parking import park_job
from workspaces.jobs.queue import cancel_job
from workspaces.jobs.sweeping import resume_interrupted
from workspaces.models import IndexJob


@pytest.fixture
def job(alice):
    return put_file(workspace=alice.workspace, path="secret.py", data=b"x = 1\n").job


@pytest.mark.parametrize("table", ["workspace", "indexjob", "userstorage", "tombstone"])
def test_staff_may_look_but_not_write(stella, job, table):
    assert stella.web.get(f"/admin/workspaces/{table}/").status_code == 200
    assert stella.web.get(f"/admin/workspaces/{table}/add/").status_code == 403


def test_a_page_shows_no_users_code(stella, alice, job):
    page = stella.web.get(f"/admin/workspaces/indexjob/{job.pk}/change/")

    assert page.status_code == 200
    assert b"secret.py" not in page.content


def act(person, table, action, row):
    return person.web.post(
        f"/admin/workspaces/{table}/",
        {"action": action, "_selected_action": [row.pk]},
        follow=True,
    )


def test_staff_cancel_a_job(stella, job):
    assert act(stella, "indexjob", "cancel", job).status_code == 200

    job.refresh_from_db()
    assert job.state == "cancelled"
    event = AuditEvent.objects.get(action="index_job.cancelled")
    assert (event.actor_id, event.subject_id) == (stella.user.pk, job.user_id)
    assert b"0 jobs" in act(stella, "indexjob", "cancel", job).content


def test_staff_park_a_job_and_let_it_go_on(stella, alice, job):
    act(stella, "indexjob", "park", job)
    page = alice.web.get(f"/dashboard/workspaces/{job.workspace_id}/")
    assert not IndexJob.objects.runnable(now()).exists()
    assert "Put aside by staff" in page.text
    url = f"/api/v1/workspaces/{job.workspace_id}/jobs/{job.pk}"
    assert alice.api.get(url).json()["phase"] == "parked"
    assert b"0 jobs are parked" in act(stella, "indexjob", "park", job).content

    act(stella, "indexjob", "release", job)
    assert IndexJob.objects.runnable(now()).get() == job
    assert b"0 jobs go on" in act(stella, "indexjob", "release", job).content
    events = AuditEvent.objects.filter(action__startswith="index_job.")
    assert [e.action for e in events.order_by("created_at", "id")] == [
        "index_job.parked",
        "index_job.released",
    ]


def test_a_parked_job_is_not_resumed_and_its_owner_may_cancel_it(job):
    park_job(job=job)
    resume_interrupted()
    assert not IndexJob.objects.runnable(now()).exists()

    cancel_job(job=job)
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_a_worker_that_comes_too_late_leaves_a_parked_job_alone(job, vectors):
    lease = take_lease(job.workspace_id)
    assert lease is not None
    park_job(job=job)
    run_slice(job, lease, lambda: vectors)

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("queued", 0)


def test_staff_ask_for_a_rebuild(stella, alice, job):
    act(stella, "workspace", "rebuild", alice.workspace)

    assert IndexJob.objects.get(pk=job.pk).rebuild is True


def test_staff_who_may_only_look_cannot_act(alice, charlie, job):
    charlie.user.is_staff = True
    charlie.user.save()
    charlie.user.user_permissions.add(Permission.objects.get(codename="view_indexjob"))

    act(charlie, "indexjob", "cancel", job)

    job.refresh_from_db()
    assert job.state == "queued"


def test_a_user_who_is_no_staff_sees_nothing(charlie, job):
    assert charlie.web.get("/admin/workspaces/indexjob/").status_code in (302, 403)
