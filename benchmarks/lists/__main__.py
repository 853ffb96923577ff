"""How long pages take when the tables are full; on a PostgreSQL and Redis of its own.

    python -m benchmarks.lists [--users 100000] [--records 1000000]

Prints, for each list of the admin and each page of the dashboard, the time of its
second view, its queries, and the slowest of them.
"""

import argparse

from benchmarks.own_servers import run_on_servers


def main() -> None:
    """Start the servers, measure, and leave nothing behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    asked = parser.parse_args()
    run_on_servers(
        f"from benchmarks.lists.run import main; main({asked.users}, {asked.records})"
    )


if __name__ == "__main__":
    main()
