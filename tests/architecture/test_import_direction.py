"""Imports point one way: lib ← accounts ← billing ← workspaces ← assistant ← roof."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ["aiassist.lib", "accounts", "billing", "workspaces", "assistant", "aiassist"]
# Pure helpers of the roof that any floor may use: how DRF is bent, and settings' env.
OPEN_TO_ALL = ("aiassist.api.", "aiassist.env")


def floor_of(module: str) -> int | None:
    if module.startswith("aiassist.lib"):
        return 0
    head = module.split(".")[0]
    return FLOORS.index(head) if head in FLOORS else None


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("aiassist", "accounts", "billing", "workspaces", "assistant"):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(p for p in parts if p != "__init__"), file


@cache
def imports(file: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, node.lineno))
        elif isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
    return found


def climbing(module: str, file: Path) -> list[str]:
    own = floor_of(module)
    found = []
    for target, line in imports(file):
        floor = floor_of(target)
        if floor is None or own is None or f"{target}.".startswith(OPEN_TO_ALL):
            continue
        if floor > own:
            found.append(f"{module}, line {line} imports {target}")
    return found


def test_no_module_imports_from_a_higher_floor() -> None:
    assert [found for name, file in modules() for found in climbing(name, file)] == []


def test_a_climbing_import_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from billing.models import Tier\n")

    assert climbing("accounts.bad", bad) == [
        "accounts.bad, line 1 imports billing.models"
    ]
    assert climbing("workspaces.fine", bad) == []


def test_nothing_imports_the_tests() -> None:
    assert [
        (name, line)
        for name, file in modules()
        for target, line in imports(file)
        if target.split(".")[0] == "tests"
    ] == []
