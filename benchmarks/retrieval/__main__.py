"""`python -m benchmarks.retrieval`: how well search finds the right lines.

Eight repositories, each at one commit, in seven languages; four to develop on, four
to judge by. Queries: docstrings (with that docstring taken out of the index), commit
subjects, hand-written questions whose lines were read, and a few by kind. Every figure
comes with its 95 % bootstrap interval.

    --repositories FOLDER   git repositories as <owner>+<name>; else cloned once
    --cache FOLDER          vectors and clones (default: benchmarks/.cache)
    --half test             development, test or both
    --kinds question,tests  only these kinds
    --only flask,httpx      only these repositories, by a part of their names
    --product-only          leave the simple designs out
    --without TEXT          leave designs out whose name holds this
    --save FILE             keep the product's scores, to compare with later
    --against FILE          compare with kept scores, query by query
    --mode keyword          what is found by words alone, as in an index's first minutes
    --embedding onnx-fp32   compare with this backend's vectors, query by query
    --tune                  find the ranking's weights on the development half
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import django

_HERE = Path(__file__).resolve().parent


def main() -> None:
    options = _options()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiassist.settings.embedded")
    os.environ.setdefault("EMBEDDING_CACHE_DIR", str(options.cache / "models"))
    with tempfile.TemporaryDirectory(prefix="bench-retrieval-") as folder:
        os.environ["DATA_DIR"] = folder
        if options.embedding:
            options.against = Path(folder) / "scores.json"
            _measure_with(options.embedding, options.against)
        django.setup()
        # What is measured needs Django's settings, so it is imported only now.
        from benchmarks.retrieval.run import Run  # noqa: PLC0415
        from benchmarks.retrieval.tune import tune  # noqa: PLC0415

        started = time.monotonic()
        if options.tune:
            tune(options)
            return
        run = Run(options)
        run.measure()
        run.report()
        print(f"\n{time.monotonic() - started:.0f} s", file=sys.stderr)


def _measure_with(backend: str, scores: Path) -> None:
    """Run the same with another backend, in a process of its own; keep the scores."""
    arguments = ["--embedding", "", "--product-only", "--save", str(scores)]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.retrieval", *sys.argv[1:], *arguments],
        check=True,
        env={**os.environ, "EMBEDDING_BACKEND": backend},
        stdout=subprocess.DEVNULL,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = os.environ.get("BENCH_REPOSITORIES")
    parser.add_argument(
        "--repositories", type=Path, default=Path(folder) if folder else None
    )
    parser.add_argument(
        "--cache",
        type=lambda text: Path(text).resolve(),
        default=Path(os.environ.get("BENCH_CACHE", _HERE.parent / ".cache")),
    )
    parser.add_argument("--half", default="both")
    parser.add_argument("--kinds", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--product-only", action="store_true")
    parser.add_argument("--without", default="")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--mode", default="hybrid", choices=("hybrid", "keyword"))
    parser.add_argument("--embedding", default="", choices=("", "onnx-fp32", "onnx"))
    parser.add_argument("--tune", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
