"""What the measurements share: files put into a workspace, and a job watched."""

import io
import time
from collections.abc import Callable
from hashlib import sha256

from accounts.models import User
from workspaces.models import IndexJob, Workspace
from workspaces.receiving.sync import commit_sync, start_sync, upload_files
from workspaces.services import create_workspace

_PART_FILES = 500  # uploaded in one request


class Stopwatch:
    """Notes when a job had written all words."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.words = 0.0

    def step(self, name: str) -> None:
        if name == "words saved":
            self.words = time.perf_counter() - self.began


def committed(
    user: User, name: str, files: dict[str, bytes]
) -> tuple[Workspace, float]:
    workspace = create_workspace(user=user, name=name)
    return workspace, timed(lambda: commit(workspace, files))


def commit(workspace: Workspace, files: dict[str, bytes]) -> None:
    manifest = {path: sha256(data).hexdigest() for path, data in files.items()}
    plan = start_sync(workspace=workspace, manifest=manifest, delete_missing=True)
    for start in range(0, len(plan.missing), _PART_FILES):
        some = plan.missing[start : start + _PART_FILES]
        upload_files(
            workspace=workspace,
            sync=plan.sync,
            files=[(p, io.BytesIO(files[p]), len(files[p])) for p in some],
        )
    commit_sync(workspace=workspace, sync=plan.sync)


def last_job(workspace: Workspace) -> IndexJob:
    job = IndexJob.objects.for_workspace(workspace).order_by("-created_at").first()
    assert job is not None
    return job


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
