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


def test_a_forked_process_stops_in_good_order_when_its_parent_is_killed() -> None:
    code = (
        "import os, signal, time; from aiassist.serve import _Forked\n"
        "here, there = os.pipe()\n"
        "def stop(*_): os.write(1, b'stopped '); os._exit(0)\n"
        "def work(): signal.signal(15, stop); os.write(there, b'.'); time.sleep(60)\n"
        "for _ in 'ab': _Forked(target=work).start(); os.read(here, 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # Read to its end, which comes when the last of them has closed it.
    done = subprocess.run(
        python("-c", code), stdout=subprocess.PIPE, timeout=30, check=False
    )
    assert done.stdout == b"stopped stopped "
