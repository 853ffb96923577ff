"""T5: no door reads rows without a scope."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOOR_FOLDERS = {"views", "api", "mcp", "faces"}
DOORS = sorted(
    file
    for top in ("accounts", "billing", "workspaces", "assistant", "aiassist")
    for file in (ROOT / top).rglob("*.py")
    if file.stem.endswith("views") or DOOR_FOLDERS.intersection(file.parts)
)
# What a door may ask of a manager: only what names whose rows it wants.
SCOPED = {"for_user", "for_workspace", "for_principal", "create", "on_sale", "enabled"}


def bare_managers(source: str) -> list[str]:
    """Return uses of `.objects` that are not followed by a scoping call."""
    tree = ast.parse(source)
    scoped = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SCOPED
    }
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "objects"
        and id(node) not in scoped
    ]


@pytest.mark.parametrize("file", DOORS, ids=lambda f: str(f.relative_to(ROOT)))
def test_t5_a_door_names_whose_rows_it_reads(file: Path) -> None:
    assert bare_managers(file.read_text()) == []


def test_t5_a_bare_query_is_found() -> None:
    assert bare_managers("Workspace.objects.get(pk=1)") == ["line 1: Workspace.objects"]
    assert bare_managers("Workspace.objects.for_user(u).get(pk=1)") == []
