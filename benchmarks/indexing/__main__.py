"""Indexing from end to end, on a PostgreSQL and a Redis of its own: `make bench-index`.

BENCH_EMBEDDED_FILES, BENCH_WORDS_FILES, BENCH_MANY_FILES and BENCH_MANY_CUT set how
much is measured.
"""

from benchmarks.own_servers import run_on_servers


def main() -> None:
    """Start the servers, measure, and leave nothing behind."""
    run_on_servers("from benchmarks.indexing.run import main; main()")


if __name__ == "__main__":
    main()
