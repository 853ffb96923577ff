"""Vectors are MiniLM's, of length 1, and depend on their text alone."""

import fcntl
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from aiassist.lib import tokens
from workspaces.indexing import embedding
from workspaces.indexing import prepared_model as prepared
from workspaces.indexing.embedding import MAX_TOKENS, embed_passages, embed_query
from workspaces.indexing.minilm_graph import build_model

Array = NDArray[Any]
Weights = dict[str, Array]

TEXTS = [
    "def retry_delay(attempt): return min(2 ** attempt, 60)",
    "The quick brown fox jumps over the lazy dog.",
    "class Ledger:\n" + "    total = total + amount\n" * 40,
    "",
    "SELECT id, name FROM users WHERE deleted_at IS NULL",
    "x",
]


def reference(texts: list[str]) -> Any:
    """The same model, one text at a time, in plain numpy and float64.

    Source: https://arxiv.org/abs/1810.04805; pooling as in sentence-transformers.
    """
    w = {
        k: v.astype(np.float64)
        for k, v in load_file(tokens.model_folder() / "model.safetensors").items()
    }
    return np.stack([forward(w, text) for text in texts])


def forward(w: Weights, text: str) -> Any:
    ids = tokens.tokenizer().encode(text).ids
    ids = [*ids[: MAX_TOKENS - 1], ids[-1]] if len(ids) > MAX_TOKENS else ids
    x = (
        w["embeddings.word_embeddings.weight"][ids]
        + w["embeddings.position_embeddings.weight"][: len(ids)]
        + w["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(w, "embeddings.LayerNorm", x)
    for i in range(6):
        name = f"encoder.layer.{i}"
        x = norm(w, f"{name}.attention.output.LayerNorm", x + attend(w, name, x))
        y = gelu(dense(w, f"{name}.intermediate.dense", x))
        x = norm(w, f"{name}.output.LayerNorm", x + dense(w, f"{name}.output.dense", y))
    pooled = x.mean(axis=0)
    return pooled / np.linalg.norm(pooled)


def dense(w: Weights, name: str, x: Array) -> Array:
    y: Array = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    return y


def norm(w: Weights, name: str, x: Array) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: Array) -> Any:
    """With erf by Abramowitz and Stegun 7.1.26, exact to 1.5e-7."""
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = 0.254829592 + t * (
        -0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))
    )
    return x * 0.5 * (1 + np.sign(x) * (1 - t * series * np.exp(-z * z)))


def attend(w: Weights, name: str, x: Array) -> Array:
    def heads(part: str) -> Array:
        y = dense(w, f"{name}.attention.self.{part}", x)
        return y.reshape(len(x), 12, 32).swapaxes(0, 1)

    scores = heads("query") @ heads("key").swapaxes(1, 2) / np.sqrt(32)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    joined = (scores @ heads("value")).swapaxes(0, 1).reshape(len(x), 384)
    return dense(w, f"{name}.attention.output.dense", joined)


def cosines(a: Array, b: Array) -> Any:
    return (a * b).sum(axis=1)


def test_vectors_are_those_of_the_published_model():
    ours = embed_passages(TEXTS)

    assert np.linalg.norm(ours, axis=1) == pytest.approx(1.0, abs=1e-5)
    likeness = cosines(ours, reference(TEXTS))
    # Int8 costs 0.002 on passages, more on one without a word.
    assert likeness.mean() > 0.99
    assert likeness.min() > 0.98


def test_a_vector_depends_on_its_text_alone():
    """J1: neighbours and order change nothing, not one bit."""
    alone = np.stack([embed_passages([text])[0] for text in TEXTS])
    together = embed_passages(TEXTS)
    crowded = embed_passages([*reversed(TEXTS), *["noise " * n for n in range(60)]])

    assert np.array_equal(alone, together)
    assert np.array_equal(alone, crowded[: len(TEXTS)][::-1])


def test_likeness_follows_meaning():
    passages = embed_passages(TEXTS)

    best = int(
        np.argmax(passages @ embed_query("how long to wait before trying again"))
    )

    assert best == 0


def test_what_exceeds_the_models_length_is_not_read():
    long = "word " * (MAX_TOKENS + 50)

    assert np.array_equal(
        embed_passages([long])[0], embed_passages([long + "and more"])[0]
    )


def test_nothing_gives_nothing():
    assert embed_passages([]).shape == (0, 384)


def test_a_query_and_a_passage_agree_and_the_cache_cannot_be_spoilt():
    first = embed_query("settle the ledger")

    assert np.abs(first - embed_passages(["settle the ledger"])[0]).max() < 1e-6
    assert embed_query("settle the ledger") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 2.0


def test_threads_get_the_same_vectors():
    found: dict[int, Array] = {}

    def work(i: int) -> None:
        found[i] = embed_passages(TEXTS)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(np.abs(found[i] - found[0]).max() < 1e-6 for i in found)


def test_the_model_is_made_once_and_whole(settings, tmp_path):
    settings.EMBEDDING_CACHE_DIR = str(tmp_path)
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(prepared.prepared_model()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1
    assert [p.suffix for p in sorted(tmp_path.iterdir())] == [".onnx", ".lock"]
    with (tmp_path / f"{made[0].name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_that_cannot_be_written_is_passed_over(settings, tmp_path):
    """K1: a read-only root."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    settings.EMBEDDING_CACHE_DIR = str(blocked / "models")

    assert prepared.prepared_model().is_file()


@pytest.mark.parametrize("backend", ["onnx-fp32"])
def test_full_precision_is_the_reference_itself(settings, tmp_path, backend):
    settings.EMBEDDING_BACKEND = backend
    settings.EMBEDDING_CACHE_DIR = str(tmp_path)
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(str(prepared.prepared_model()))
    ids = np.array([tokens.tokenizer().encode(TEXTS[0]).ids], np.int32)
    (vector,) = session.run(None, {"ids": ids})[0]

    assert vector == pytest.approx(reference(TEXTS[:1])[0], abs=1e-4)


def test_others_weights_have_a_name_of_their_own(settings):
    """Vectors of two models are never mixed: embeddings are reused by this name."""
    settings.EMBEDDING_MODEL_PATH = str(tokens.model_folder())

    assert embedding._model_name() == (
        f"{embedding.MODEL_NAME}-{prepared.weights_digest()}"
    )


@pytest.mark.parametrize("precision", ["int8", "int8-unsigned"])
def test_processors_with_and_without_signed_products_agree(precision):
    import onnxruntime  # noqa: PLC0415

    weights = load_file(tokens.model_folder() / "model.safetensors")
    model = build_model(weights, precision).SerializeToString()
    ids = np.array([tokens.tokenizer().encode(TEXTS[0]).ids], np.int32)
    (vector,) = onnxruntime.InferenceSession(model).run(None, {"ids": ids})[0]

    assert vector @ reference(TEXTS[:1])[0] > 0.99


def test_a_query_does_not_wait_behind_passages():
    """A query has a thread of its own: indexing holds the others for minutes."""
    passages = ["def f(x):\n    return weigh(x, 1, 2, 3)\n" * 30] * 60
    indexing = threading.Thread(target=embed_passages, args=(passages,))
    embed_query("warm up")
    indexing.start()
    try:
        vectors: list[Any] = []
        while indexing.is_alive():
            vectors.append(embed_query(f"question {len(vectors)}"))
    finally:
        indexing.join()

    assert len(vectors) >= 10


def test_a_query_has_the_vector_of_the_same_passage():
    (passage,) = embed_passages(["where is the retry delay computed?"])

    likeness = float(passage @ embed_query("where is the retry delay computed?"))

    assert likeness > 0.999999
