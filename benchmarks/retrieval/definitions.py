"""Functions and types of a file, with what their docstrings say first."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from workspaces.indexing.grammars import name_of, parse
from workspaces.indexing.languages import language_of

_FUNCTIONS = frozenset(
    """
    function_definition function_declaration generator_function_declaration
    method_declaration method_definition constructor_declaration
    function_item method singleton_method
    """.split()
)
_TYPES = frozenset(
    """
    class_definition class_declaration interface_declaration enum_declaration
    struct_item enum_item trait_item class module type_spec type_declaration
    """.split()
)
_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_BETWEEN = frozenset({"attribute_item"})  # stands between a comment and its function


@dataclass(frozen=True)
class Definition:
    """A definition's lines, 1-based and inclusive."""

    path: str
    name: str
    start: int
    end: int
    is_function: bool
    summary: str = ""  # the docstring's first sentence
    doc: tuple[int, int] = (0, 0)


def definitions_of(path: str, text: str) -> Iterator[Definition]:
    data = text.encode("utf-8", "replace")
    tree = parse(language_of(path, data[:4096]), data)
    if tree is None:
        return
    stack = [tree.root_node]
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        if node.type not in _FUNCTIONS and node.type not in _TYPES:
            continue
        name = name_of(node)
        if not name or not re.fullmatch(r"[A-Za-z_]\w*[?!]?", name):
            continue
        doc, summary = _documentation(node, name)
        yield Definition(
            path,
            name,
            node.start_point.row + 1,
            node.end_point.row + 1,
            node.type in _FUNCTIONS,
            summary,
            doc,
        )


def _documentation(node: Node, name: str) -> tuple[tuple[int, int], str]:
    nodes = _docstring(node) or _comments_before(node)
    if not nodes:
        return (0, 0), ""
    raw = "\n".join((n.text or b"").decode("utf-8", "replace") for n in nodes)
    rows = nodes[0].start_point.row + 1, _last_row(nodes[-1]) + 1
    return rows, _summary(raw, name)


def _docstring(node: Node) -> list[Node]:
    body = node.child_by_field_name("body")
    if body is None or not body.named_children or node.type != "function_definition":
        return []
    first = body.named_children[0]
    inner = first.named_children[0] if first.named_children else first
    return [inner] if inner.type == "string" else []


def _comments_before(node: Node) -> list[Node]:
    found: list[Node] = []
    top: Node = node
    while top.parent is not None and top.parent.type in {
        "export_statement",
        "body_statement",
    }:
        if top.parent.type == "body_statement" and top.prev_sibling is not None:
            break
        top = top.parent
    before = top.prev_sibling
    row = top.start_point.row
    while before is not None and _last_row(before) >= row - 1:
        if before.type in _COMMENTS:
            found.insert(0, before)
        elif before.type not in _BETWEEN:
            break
        row = before.start_point.row
        before = before.prev_sibling
    return found


def _last_row(node: Node) -> int:
    row, column = node.end_point
    return row - 1 if column == 0 and row > node.start_point.row else row


_MARKS = re.compile(r'^\s*(?:"""|\'\'\'|[rub]+"""|/\*+|\*+/?|///?|//!|#+)\s?|\*/|"""$')
_TAGS = re.compile(r"\{@\w+\s+([^}]*)\}|</?\w+>|:\w+:`([^`]*)`|[`*]")


def _summary(raw: str, name: str) -> str:
    """Return the first sentence, without the comment's marks."""
    lines: list[str] = []
    for line in raw.split("\n"):
        clean = _MARKS.sub("", _MARKS.sub("", line.rstrip())).strip()
        if (not clean and lines) or clean.startswith(("@", ":param", "====")):
            break
        if clean:
            lines.append(clean)
    text = _TAGS.sub(lambda m: m.group(1) or m.group(2) or "", " ".join(lines))
    text = re.split(r"(?<=[a-z)])\.(?:\s|$)", text)[0].strip(" .")
    # Go begins with the name, which would give the answer away.
    return re.sub(rf"^{re.escape(name)}\s+(?:is|are)?\s*", "", text)[:300]
