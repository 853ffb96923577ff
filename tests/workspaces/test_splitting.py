"""Passages follow the syntax, hold every line once, and survive hostile text (F5)."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiassist.lib.tokens import count_tokens
from workspaces.indexing.chunk import Chunk
from workspaces.indexing.grammars import PARSED_LANGUAGES
from workspaces.indexing.splitting import MAX_TOKENS, split

FILLER = "\n".join(
    f"    total += weigh(item_{i}, 'some words here')" for i in range(25)
)
PYTHON = f'''"""A module."""

class Till:
    """Takes money."""

    def total(self):
{FILLER.replace("    ", "        ")}

    # What the customer gets back.
    @property
    def change(self):
{FILLER.replace("    ", "        ")}


def free():
{FILLER}
'''

SAMPLES = {
    "a.py": ("class A:\n    def f(self):\n{}", "A.f"),
    "a.js": ("class A {{\n  f() {{\n{}\n  }}\n}}", "A.f"),
    "a.ts": ("export class A {{\n  f(): void {{\n{}\n  }}\n}}", "A.f"),
    "a.tsx": ("export function F() {{\n{}\n}}", "F"),
    "a.go": ("package a\nfunc F() {{\n{}\n}}", "F"),
    "a.rs": ("impl A {{\n  fn f() {{\n{}\n  }}\n}}", "A.f"),
    "A.java": ("class A {{\n  void f() {{\n{}\n  }}\n}}", "A.f"),
    "a.c": ("static int *f(int x) {{\n{}\n}}", "f"),
    "a.cpp": ("namespace n {{\nint A::f() {{\n{}\n}}\n}}", "n.A.f"),
    "a.cs": ("namespace N {{\nclass A {{\nvoid F() {{\n{}\n}}\n}}\n}}", "N.A.F"),
    "a.rb": ("module M\nclass A\ndef f\n{}\nend\nend\nend", "M.A.f"),
    "a.php": ("<?php\nclass A {{\nfunction f() {{\n{}\n}}\n}}", "A.f"),
    "a.sh": ("f() {{\n{}\n}}", "f"),
}


def lines_of(chunks: list[Chunk]) -> list[int]:
    return [n for c in chunks for n in range(c.start_line, c.end_line + 1)]


def assert_whole(text: str, chunks: list[Chunk]) -> None:
    lines = text.split("\n")
    covered = lines_of(chunks)
    assert covered == sorted(set(covered))
    assert {n for n, line in enumerate(lines, 1) if line.strip()} <= set(covered)
    for chunk in chunks:
        assert chunk.text == "\n".join(lines[chunk.start_line - 1 : chunk.end_line])
        assert chunk.embedded_text.startswith(chunk.path)


def test_a_method_is_found_under_its_dotted_name():
    symbols = {c.symbol for c in split("shop/till.py", PYTHON)}

    assert {"Till.total", "Till.change", "free"} <= symbols


def test_a_comment_and_a_decorator_stay_with_their_definition():
    lines = PYTHON.split("\n")
    comment = lines.index("    # What the customer gets back.") + 1

    (chunk,) = [c for c in split("till.py", PYTHON) if comment in lines_of([c])]

    assert "def change" in chunk.text


@pytest.mark.parametrize("path", SAMPLES)
def test_each_language_names_its_definitions(path):
    template, symbol = SAMPLES[path]
    statement = "        total(1, 2, 3, 4, 5, 6, 7, 8, 9);\n" * 30
    text = template.format(statement.rstrip("\n"))

    chunks = split(path, text)

    assert_whole(text, chunks)
    assert symbol in {c.symbol for c in chunks}


def test_all_grammars_of_the_contract_are_there():
    assert len(PARSED_LANGUAGES) == 20


def test_markdown_sections_and_data_keys_are_symbols():
    text = "# Guide\n\n" + "".join(
        f"## Part {i}\n\n{'words and words ' * 60}\n\n" for i in range(3)
    )

    assert {c.symbol for c in split("a.md", text)} >= {"Guide.Part 1", "Guide.Part 2"}


def test_no_passage_exceeds_its_tokens_unless_it_is_one_line():
    for chunk in split("till.py", PYTHON):
        assert count_tokens(chunk.text) <= MAX_TOKENS


def test_small_neighbours_share_a_passage_under_what_holds_them():
    text = (
        "class A:\n    def f(self):\n        pass\n\n    def g(self):\n        pass\n"
    )

    (chunk,) = split("a.py", text)

    assert (chunk.start_line, chunk.end_line) == (1, 6)


def test_it_is_deterministic():
    assert split("till.py", PYTHON) == split("till.py", PYTHON)


@pytest.mark.parametrize("text", ["", "\n\n", "  \n\t"])
def test_a_file_without_content_has_no_passages(text):
    assert split("a.py", text) == []


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from([*SAMPLES, "a.json", "a.yaml", "a.md", "a.html", "a.txt"]),
    pieces=st.lists(
        st.sampled_from(
            [
                *("def f():", "class A {", "}", "(", "[", "# x", "'''", "/*", "*/"),
                *("    return 1", "", "  ", "- a: b", "<div>", "é ü", "\r", "```"),
                "some words to fill the line with tokens, again and again " * 3,
            ]
        ),
        max_size=120,
    ),
)
def test_every_line_with_content_is_in_one_passage(path, pieces):
    text = "\n".join(pieces)

    assert_whole(text, split(path, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("deep.json", "[\n" * 30_000),
        ("deep.py", "(" * 200_000),
        ("line.js", "a" * 100_000_000),
        ("ladder.py", "\n".join(" " * i + "if x:" for i in range(1_000))),
        ("nul.c", "int a\x00b;\n" * 100),
        ("surrogate.py", "x = '\udcff'\n"),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_hostile_text_is_cut_in_bounded_time(path, text):
    """F5: deep nesting, a 100 MB line, NUL."""
    started = time.monotonic()

    chunks = split(path, text)

    assert time.monotonic() - started < 15
    assert_whole(text, chunks)
    assert max(len(c.embedded_text) for c in chunks) < 10_000


def test_two_long_parts_that_share_a_line_are_both_kept():
    body = "  total(1, 2, 3, 4, 5, 6, 7, 8, 9);\n"
    text = f"load(function () {{\n{body * 30}}}, function () {{\n{body * 20}}});\n"

    assert_whole(text, split("a.js", text))


def test_a_definitions_end_and_the_next_ones_start_stay_apart():
    body = "    weigh(1, 2, 3, 4, 5, 6, 7, 8, 9)\n"
    text = f"def first():\n{body * 19}\n\ndef second():\n{body}"

    chunks = split("a.py", text)

    assert chunks[-1].text.startswith("def second")
    assert chunks[-1].symbol == "second"


def test_a_part_says_what_it_is_a_part_of():
    *_, last = split("a.py", f"def weigh_all(items):\n{FILLER}\n")

    assert "def weigh_all" not in last.text
    assert last.embedded_text.startswith("a.py weigh_all\ndef weigh_all(items):\n")


def test_small_definitions_side_by_side_are_all_named():
    text = "def one():\n    pass\n\n\ndef two():\n    pass\n"

    (chunk,) = split("a.py", text)

    assert chunk.symbol == "one, two"


@pytest.mark.parametrize("receiver", ["t *Tree", "t Tree", "t *Tree[K, V]", "Tree"])
def test_a_go_method_is_named_after_its_receiver(receiver):
    text = f"package a\n\nfunc ({receiver}) Add(n int) {{\n\treturn\n}}\n"

    assert "Tree.Add" in {c.symbol for c in split("a.go", text)}


def test_every_part_knows_the_whole_definitions_lines():
    lines = PYTHON.split("\n")
    start = lines.index("    def total(self):") + 1

    parts = [c for c in split("till.py", PYTHON) if c.symbol == "Till.total"]

    assert len(parts) > 1
    assert {c.symbol_start for c in parts} == {start}
    assert {c.symbol_end for c in parts} == {max(c.end_line for c in parts)}
