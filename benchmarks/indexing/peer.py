"""sentence-transformers on the same passages, in an environment of its own.

Nothing of it is a dependency: the environment is made below `benchmarks/.cache` when
it is first measured (torch is large), and gets the model that we use, as published.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from aiassist.lib.tokens import model_folder

_HOME = Path(__file__).resolve().parents[1] / ".cache" / "sentence-transformers"
_PACKAGES = ("sentence-transformers==6.2.0", "transformers", "torch")
_CODE = """
import json, sys, time
from sentence_transformers import SentenceTransformer
import torch
folder, file = sys.argv[1:]
texts = json.load(open(file))
model = SentenceTransformer(folder, device="cpu")
model.max_seq_length = 256
model.encode(texts[:8])
began = time.perf_counter()
vectors = model.encode(texts)
seconds = time.perf_counter() - began
print(json.dumps([seconds, torch.get_num_threads(), vectors[:32].tolist()]))
"""


def python() -> Path:
    """Return the environment's Python, made if need be."""
    home = Path(os.environ.get("BENCH_PEER", _HOME))
    found = home / "bin" / "python"
    if not (home / ".complete").is_file():
        sys.stderr.write("installing sentence-transformers (once, large) …\\n")
        venv.create(home, with_pip=True)
        subprocess.run(
            [found, "-m", "pip", "install", "--quiet", *_PACKAGES], check=True
        )
        (home / ".complete").touch()
    return found


def embed(texts: Sequence[str]) -> tuple[float, int, list[list[float]]]:
    """Return the seconds, the threads used, and the first vectors, to compare."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(list(texts), file)
        file.flush()
        done = subprocess.run(
            [python(), "-c", _CODE, str(model_folder()), file.name],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
        )
    seconds, n_threads, vectors = json.loads(done.stdout.splitlines()[-1])
    return seconds, n_threads, vectors
