"""The embedding model as ONNX Runtime reads it, made once per machine.

The graph is written from `model.safetensors` in about a second, into
EMBEDDING_CACHE_DIR (else DATA_DIR/models), where all processes find it. A container
has it from its image; where nothing may be written it is made in a temporary folder.
"""

import fcntl
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from aiassist.lib.tokens import model_folder

if TYPE_CHECKING:
    from workspaces.indexing.minilm_graph import Precision

# Part of the file's name: raise it when the graph changes.
_GRAPH_VERSION = 2


def prepared_model() -> Path:
    """Return the model file, made if need be. Raises ImproperlyConfigured."""
    name = _file_name()
    for folder in _folders():
        ready = folder / name
        if ready.is_file():
            return ready
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _only_one_process(folder / f"{name}.lock"):
                if not ready.is_file():
                    _write(ready)
            return ready
        except OSError:
            continue  # read-only or full; the next folder may do
    raise ImproperlyConfigured(
        "EMBEDDING_CACHE_DIR must be a folder that this process can write to."
    )


def precision() -> "Precision":
    """Return "fp32", "int8" or "int8-unsigned": see `minilm_graph`."""
    if settings.EMBEDDING_BACKEND == "onnx-fp32":
        return "fp32"
    return "int8" if _multiplies_signed() else "int8-unsigned"


def _folders() -> Iterator[Path]:
    yield Path(settings.EMBEDDING_CACHE_DIR or Path(settings.DATA_DIR) / "models")
    yield Path(tempfile.gettempdir()) / f"aiassist-models-{os.getuid()}"


def _file_name() -> str:
    return f"minilm-{precision()}-{_GRAPH_VERSION}-{weights_digest()}.onnx"


def weights_digest() -> str:
    """Tell one model's weights from another's by their size and first megabyte."""
    file = _weights_file()
    digest = hashlib.sha256(str(file.stat().st_size).encode())
    with file.open("rb") as weights:
        digest.update(weights.read(1 << 20))
    return digest.hexdigest()[:16]


def _weights_file() -> Path:
    file = model_folder() / "model.safetensors"
    if not file.is_file():
        raise ImproperlyConfigured(f"EMBEDDING_MODEL_PATH: no weights in {file.parent}")
    return file


def _write(ready: Path) -> None:
    """Write beside, then rename: a reader never sees half a model."""
    # Heavy, and needed once per machine.
    from safetensors.numpy import load_file  # noqa: PLC0415

    from workspaces.indexing.minilm_graph import build_model  # noqa: PLC0415

    model = build_model(load_file(_weights_file()), precision())
    with tempfile.NamedTemporaryFile(dir=ready.parent, delete=False) as file:
        try:
            file.write(model.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, ready)
        except BaseException:
            os.unlink(file.name)
            raise


@contextmanager
def _only_one_process(lock: Path) -> Iterator[None]:
    """Let the second process wait for the first one's work instead of doubling it."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _multiplies_signed() -> bool:
    """Tell whether u8 × s8 products are exact on this processor.

    x86 without VNNI adds two of them in 16 bits, which saturates.
    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags
