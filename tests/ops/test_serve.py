"""What `aiassist.serve` relies on of uvicorn and Python that neither documents."""

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn import Config, _subprocess

from tests.support.processes import python

APP = "aiassist.asgi:application"


def test_uvicorn_starts_its_processes_by_what_is_put_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: Any = object()
    ours = SimpleNamespace(Process=lambda **given: started)
    monkeypatch.setattr(_subprocess, "spawn", ours)

    made = _subprocess.get_subprocess(Config(APP), print, [])

    assert made is started


def test_a_forked_process_does_at_its_end_what_was_to_be_done_at_exit() -> None:
    code = (
        "import atexit; from aiassist.serve import _Forked\n"
        "def work(): atexit.register(print, 'written', flush=True)\n"
        "made = _Forked(target=work); made.start(); made.join()\n"
    )
    done = subprocess.run(python("-c", code), capture_output=True, check=True)
    assert done.stdout == b"written\n"
