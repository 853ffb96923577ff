"""Names, patterns, texts and lists at their edges."""

import os
import platform
import tempfile

import pytest
from django.core.exceptions import ImproperlyConfigured

from billing.models import Tier
from tests.workspaces.packing import zip_of
from workspaces.content import storage
from workspaces.content.texts import NotIndexable, indexable_text, objection
from workspaces.ignoring.filters import soft_refusal
from workspaces.ignoring.gitignore import IgnoreFiles
from workspaces.ignoring.skips import Skips
from workspaces.indexing import grammars, prepared_model
from workspaces.indexing.grammars import parse
from workspaces.indexing.keywords import passage_terms
from workspaces.indexing.languages import language_of
from workspaces.models import Blob, UserStorage
from workspaces.preview import NamedFile, preview
from workspaces.receiving.archives import import_archive

PATHS = ("a-b", "a/b", "x[", "5", "b", "~", "\U0010ffff", "\x01")


@pytest.mark.parametrize(
    ("line", "ignored"),
    [
        ("[[:digit:]]", ["5"]),
        ("[[:alpha:]]", ["a/b", "b"]),
        ("[[:space]", ["a/b"]),
        ("[[x]", []),
        ("x[[]", ["x["]),
        ("[[:nothing:]]", []),
        ("[!\x01-\u007e]", ["\U0010ffff"]),
        ("a[+-0]b", ["a-b"]),
        ("[!a-z]", ["5", "~", "\U0010ffff", "\x01"]),
        ("[z-a]", []),
        ("[/]", []),
    ],
)
def test_classes_of_signs_are_those_of_git(line, ignored):
    files = IgnoreFiles({".gitignore": line})

    assert [p for p in PATHS if (m := files.match(p)) and m.ignored] == ignored


def test_a_pattern_of_the_longest_kind_keeps_the_others():
    """RE2 refuses what would take too much memory; the line then says nothing."""
    files = IgnoreFiles({".gitignore": "*.log\n" + "[!a]*" * 100 + "\n*.tmp"})

    assert files.match("x.log") and files.match("x.tmp")


def test_a_list_of_reasons_that_all_differ_keeps_the_first():
    skips = Skips(limit=3)
    for n in range(5):
        skips.add(f"{n}.py", f"reason {n}")

    assert [entry["path"] for entry in skips.entries] == ["0.py", "1.py", "2.py"]
    assert skips.count == 5


@pytest.mark.parametrize("name", ["de.po", "de.XLF"])
def test_translation_catalogues_are_left_out(name):
    assert "translation" in soft_refusal(name)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe" + "a\0b".encode("utf-16-le"), b"x" * (30 * 1024**2)]
)
def test_f5_what_no_text_holds_has_a_reason(data):
    with pytest.raises(NotIndexable):
        indexable_text(data)


def test_a_pointer_to_what_lies_elsewhere_has_a_reason():
    assert "LFS" in objection(b"version https://git-lfs.github.com/spec/v1\noid x\n")


def test_a_first_line_that_names_no_program_tells_nothing():
    assert language_of("run", b"#!/usr/bin/env -S A=1\n") == "text"


def test_a_word_of_a_thousand_letters_is_no_word():
    assert not passage_terms("x" * 1000, "", "").indices


def test_a_language_without_a_grammar_has_no_tree():
    assert parse("cobol", b"x") is None


def test_f5_a_parse_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(grammars, "_MAX_SECONDS", -1.0)
    assert parse("python", b"def f():\n    return 1\n" * 50) is None
    monkeypatch.undo()
    assert parse("python", b"def f():\n    return 1\n"), "and the next one is read"


def test_heads_that_show_no_text_are_told_from_code(alice, monkeypatch):
    monkeypatch.setattr("workspaces.preview.MAX_CUT_BYTES", 100)
    code = "x = 1\n" * 30

    found = preview(
        workspace=alice.workspace,
        files={
            "a.py": NamedFile(9000, head="\0\1\2" * 90),
            "b.py": NamedFile(len(code), head=code),
            "c.py": NamedFile(40, head="\ufeffa\0b"),
            "d.py": NamedFile(10, head="x = 1\n"),
        },
    )

    assert {s["path"]: s["reason"] for s in found.skips.entries}["a.py"] == "is binary"
    assert "b.py" not in {s["path"] for s in found.skips.entries}


def test_f6_many_contents_are_stored_in_batches(alice, queue, monkeypatch):
    monkeypatch.setattr(storage, "_BATCH_ROWS", 2)

    import_archive(
        workspace=alice.workspace,
        file=zip_of({f"{n}.py": f"x = {n}" for n in range(7)}),
    )

    assert Blob.objects.count() == 7


def test_f6_what_an_index_still_shows_is_bounded_too(alice, indexer):
    """Replaced contents stay, uncharged, until the new index is there; not for ever."""
    indexer.index(alice.workspace, {"a.py": b"x = 1\n" * 100})
    Tier.objects.filter(pk="free").update(max_storage_bytes=500)
    indexer.put(alice.workspace, {"a.py": b"y = 2\n"})

    assert Blob.objects.get().n_bytes == 6
    assert UserStorage.objects.get().n_bytes == 6


@pytest.mark.parametrize(("machine", "signed"), [("aarch64", True), ("arm64", True)])
def test_processors_other_than_x86_multiply_signed_numbers(
    monkeypatch, machine, signed
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert prepared_model._multiplies_signed() is signed


def test_a_model_that_no_folder_takes_stops_the_start(settings, monkeypatch):
    settings.EMBEDDING_CACHE_DIR = "/proc/no-folder"
    monkeypatch.setattr(tempfile, "tempdir", "/proc/neither")

    with pytest.raises(ImproperlyConfigured, match="CACHE_DIR"):
        prepared_model.prepared_model()


def test_a_model_path_without_weights_names_itself(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared_model, "model_folder", lambda: tmp_path)
    with pytest.raises(ImproperlyConfigured, match="no weights"):
        prepared_model.prepared_model()


def test_half_a_model_is_never_left_behind(settings, tmp_path, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    class Model:
        def SerializeToString(self):
            return b"model"

    monkeypatch.setattr("workspaces.indexing.minilm_graph.build_model", full_of(Model))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        prepared_model._write(tmp_path / "model.onnx")

    assert list(tmp_path.iterdir()) == []


def full_of(model):
    return lambda *args: model()
