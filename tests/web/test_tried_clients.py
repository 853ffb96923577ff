"""The guide names what `make test-clients` tries, at the versions that are pinned."""

import pytest

from aiassist import connect
from tests.clients.__main__ import CLIENTS
from tests.clients.trial import TRIALS
from tests.support.processes import ROOT

GUIDE = (ROOT / "docs" / "public" / "clients.md").read_text()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_guide_names_the_version_that_is_tried(client):
    """A renewed pin is renewed here, after a run that passed."""
    lines = [line for line in GUIDE.splitlines() if line.startswith("| ")]

    (line,) = (line for line in lines if f" {client.package.version}" in line)
    assert client.package.package in line


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_what_is_tried_is_what_a_page_shows(client):
    assert client.page in {shown.slug for shown in connect.CLIENTS}
    assert [trial.name for trial in client.trials][0] == "turn"
    assert {trial.name for trial in client.trials} <= set(TRIALS)
