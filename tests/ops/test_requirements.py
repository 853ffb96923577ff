"""C2: what is installed is what was tried: each requirement is pinned."""

import re
from pathlib import Path

import pytest

_HOUSE = Path(__file__).resolve().parents[2]
_PINNED = re.compile(r"[\w.-]+(\[[\w,-]+\])?==\d[\w.+]*( *[;#].*| --hash=.*)?")
_OF_PIP = ("-r ", "#")


@pytest.mark.parametrize("file", sorted(p.name for p in _HOUSE.glob("require*.txt")))
def test_c2_every_requirement_is_pinned(file: str) -> None:
    lines = [line.strip() for line in (_HOUSE / file).read_text().splitlines()]
    wanted = [line for line in lines if line and not line.startswith(_OF_PIP)]

    assert wanted
    assert [line for line in wanted if not _PINNED.fullmatch(line)] == []
