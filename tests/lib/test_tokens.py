"""Counting tokens and keeping within a number of them."""

import random

import pytest
from django.core.exceptions import ImproperlyConfigured

from aiassist.lib import tokens


def test_it_counts_word_pieces_without_special_tokens():
    assert tokens.count_tokens("hello world foo_bar(x)") == 8
    assert tokens.count_tokens("") == 0


def test_many_are_counted_like_one_each():
    texts = ["def f():", "", "return 1", "word " * 5_000]

    assert tokens.count_many(texts) == [tokens.count_tokens(t) for t in texts]


def test_word_by_word_it_counts_what_the_tokenizer_counts():
    rng = random.Random(1)
    bits = [*map(chr, range(128)), "[SEP]", "[CLS", "retryDelay", "é", "语", "\x85"]
    texts = ["".join(rng.choices(bits, k=rng.randrange(30))) for _ in range(3_000)]
    texts += ["w" * 100, "w" * 101, "[MASK][sep] [PAD]x", "İ ſ ﬁ\u200b", "1" * 5_000]

    encodings = tokens.tokenizer().encode_batch(texts, add_special_tokens=False)

    assert tokens.count_many(texts) == [len(encoding) for encoding in encodings]


def test_lines_add_up_to_the_whole():
    text = "class A:\n    def f(self):\n        return 'x'\n"

    assert tokens.count_tokens(text) == sum(map(tokens.count_tokens, text.split("\n")))


def test_a_blob_costs_more_than_the_one_token_it_is_to_the_tokenizer():
    assert tokens.count_tokens("QUJD" * 1_000) > 900


def test_a_lone_surrogate_is_counted_not_raised():
    assert tokens.count_tokens("a \ud800 b") == 3


def test_truncation_keeps_whole_lines():
    text = "one two\nthree four\nfive six\n"

    assert tokens.truncate_to_tokens(text, 4) == "one two\nthree four\n"
    assert tokens.truncate_to_tokens(text, 3) == "one two\n"
    assert tokens.truncate_to_tokens(text, 1) == ""
    assert tokens.truncate_to_tokens(text, 99) == text


def test_a_missing_model_names_its_setting(settings, tmp_path):
    settings.EMBEDDING_MODEL_PATH = str(tmp_path)

    with pytest.raises(ImproperlyConfigured, match="EMBEDDING_MODEL_PATH"):
        tokens.model_folder()


@pytest.mark.parametrize("text", ["some words and " * 400, "é," * 3_000, "x\n" * 999])
def test_a_very_long_text_counts_as_much_as_in_one_piece(monkeypatch, text):
    whole = tokens.count_tokens(text)

    monkeypatch.setattr(tokens, "_CALL_CHARS", 1_000)

    assert tokens.count_tokens(text) == whole
    assert tokens.count_many(["a", text, "b"]) == [1, whole, 1]
