"""The queue of usage records and its thread: full, forgotten, idle, or forked."""

import threading

import pytest
from django.db import OperationalError

from billing.metering import outbox as module
from billing.metering.outbox import Outbox
from billing.models import UsageRecord
from tests.support.processes import Process, django_env, python

_FORKS_MID_BATCH = """
import os, sys, time
import django; django.setup()
from django.db import connection, connections
from accounts.models import User
from accounts.principals import Principal
from billing.metering.admission import admit
from billing.metering.ledger import Settlement, settle
from billing.models import UsageRecord
from billing.metering.outbox import outbox

def spend(request_id):
    user = User.objects.get(pk=sys.argv[1])
    me = Principal(user, "api_key", "key_1", frozenset())
    call = admit(me, feature="search", endpoint="x", request_id=request_id)
    settle(call, Settlement(tokens_in=5))

spend("req_parent")
parents = outbox._thread
assert parents.is_alive()
connection.close()
outbox._writing.acquire()  # as if the parent's thread were in the middle of a batch
child = os.fork()
if child:
    outbox._writing.release()
    os.waitpid(child, 0)
    time.sleep(60)
spend("req_child")
outbox._wake.set()
deadline = time.monotonic() + 20
while not UsageRecord.objects.filter(request_id="req_child").exists():
    assert time.monotonic() < deadline, "the child's call is never written"
    time.sleep(0.05)
assert outbox._thread is not parents and outbox._thread.is_alive()
print("the child wrote", flush=True)
os._exit(0)
"""


class Woken(threading.Event):
    """An event that nobody sets: notes how long it is waited for, ends the third."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        if len(self.waits) == 3:
            raise SystemExit
        return False


def test_a_thread_whose_work_was_switched_off_ends(settings):
    """Else it writes what another test left, in the middle of this one."""
    settings.USAGE_WRITE_SECONDS = 60
    outbox = Outbox()
    outbox.start()
    thread = outbox._thread
    assert thread is not None and thread.is_alive()

    settings.USAGE_WRITE_SECONDS = 0
    outbox.forget()

    assert not thread.is_alive()


def test_a_thread_waits_as_long_as_the_setting_says(settings):
    settings.USAGE_WRITE_SECONDS = 7
    outbox = Outbox()
    outbox._wake = woken = Woken()

    with pytest.raises(SystemExit):
        outbox._run()

    assert woken.waits == [7, 7, 7]


@pytest.fixture
def written(monkeypatch, settings):
    """The numbers of the calls that reached the ledger; `.meanwhile` runs once."""

    class Written(list[int]):
        meanwhile = staticmethod(lambda: None)

    numbers = Written()

    def write_calls(calls):
        numbers.extend(call["n"] for call in calls)
        meanwhile, numbers.meanwhile = numbers.meanwhile, lambda: None
        meanwhile()

    settings.USAGE_WRITE_SECONDS = 0  # no thread
    monkeypatch.setattr(module, "write_calls", write_calls)
    return numbers


def fill(outbox, *numbers):
    for n in numbers:
        outbox.add({"n": n}, "")


def test_q2_a_queue_that_fills_up_while_it_is_written_loses_nothing_unwritten(
    written, monkeypatch, caplog
):
    """What overflows then is on its way into the ledger already."""
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    outbox = Outbox()
    fill(outbox, 1, 2, 3)
    written.meanwhile = lambda: fill(outbox, 4, 5)

    assert outbox.write() == 5
    assert written == [1, 2, 3, 4, 5]
    assert "too many calls wait" in caplog.text


def test_what_comes_while_a_batch_is_written_is_written_next(written):
    outbox = Outbox()
    fill(outbox, 1)
    written.meanwhile = lambda: fill(outbox, 2)

    assert (outbox.write(), outbox.write()) == (2, 0)
    assert written == [1, 2]


def test_a_batch_that_the_database_refuses_is_kept(written):
    def refuse():
        raise OperationalError

    outbox = Outbox()
    fill(outbox, 1, 2)
    written.meanwhile = refuse
    outbox.write_soon()  # and no exception reaches the call that was made

    assert outbox.write() == 2


def test_a_full_batch_wakes_the_thread(written, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    outbox = Outbox()
    fill(outbox, 1)
    assert not outbox._wake.is_set()
    fill(outbox, 2)
    assert outbox._wake.is_set()


@pytest.mark.django_db(transaction=True)
def test_q2_a_forked_worker_writes_its_calls_itself(alice, tmp_path):
    """It has its parent's thread by name only, and its locks as they stood."""
    script = python("-c", _FORKS_MID_BATCH, alice.user.pk)
    # No coverage: its tracer's lock may be held at the fork, too.
    env = django_env(USAGE_WRITE_SECONDS="1", COVERAGE_PROCESS_CONFIG="")
    with Process(script, log=tmp_path / "forks.log", env=env) as forks:
        forks.wait_for_output("the child wrote")

    recorded = UsageRecord.objects.values_list("request_id", flat=True)
    assert sorted(recorded) == ["req_child", "req_parent"]
