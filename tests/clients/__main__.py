"""`make test-clients`: install, start, let every client try, print the table."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.clients import trial
from tests.clients.agents import AGENTS
from tests.clients.home import Failed
from tests.clients.model import ScriptedModel
from tests.clients.outside import Outside
from tests.clients.packages import NODE, Installed, NotInstalled
from tests.clients.sdks import SDKS
from tests.clients.site import PROVIDERS, Site
from tests.clients.trial import TRIALS, Bench, Client, Passed

CLIENTS: tuple[Client, ...] = (*SDKS, *AGENTS)
# Those of the clients that are tried over each wire; the others over OpenAI's chat.
WITH_EACH = frozenset({"python", "anthropic", "codex", "claude-code"})


@dataclass
class Row:
    """One client's line of the table."""

    client: Client
    provider: str
    installed: Installed | None = None
    passed: dict[str, Passed] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    asked_outside: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not self.failed

    def cells(self) -> list[str]:
        sizes = [passed.n_prompt_tokens for passed in self.passed.values()]
        return [
            self.client.name,
            self.provider,
            self.installed.version if self.installed else "not installed",
            *(self.cell(name) for name in TRIALS),
            f"{max(sizes):,}" if sizes else "",
            ", ".join(sorted(set(self.asked_outside))) or "nobody",
        ]

    @property
    def _names(self) -> set[str]:
        return {trial.name for trial in self.client.trials}

    def cell(self, name: str) -> str:
        if name in self.passed:
            return f"{self.passed[name].seconds:.1f} s"
        return "FAILED" if self.failed and name in self._names else "–"


def main() -> int:
    """Return the exit code: 0 when every client did all that it should."""
    options = _options()
    rows = [
        Row(client, provider)
        for provider in options.provider or PROVIDERS
        for client in CLIENTS
        if client.page in (options.only or (client.page,))
        and (provider == "openai" or client.page in WITH_EACH)
    ]
    with ExitStack() as stack:
        folder = Path(options.keep or stack.enter_context(_temporary()))
        outside = Outside().start()
        stack.callback(outside.stop)
        node = _install(rows)
        path = ":".join((*node, os.environ["PATH"]))
        for provider in PROVIDERS:
            if mine := [row for row in rows if row.provider == provider]:
                _try_all(folder / provider, path, outside, mine, options.seconds)
    _say(_table(rows))
    for row in rows:
        for name, why in row.failed.items():
            _say(f"\n{row.client.name} by {row.provider}, {name}: {why}")
    n_failed = sum(not row.is_well for row in rows)
    _say(f"\n{len(rows) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed else 0


def _try_all(
    folder: Path, path: str, outside: Outside, rows: Sequence[Row], seconds: float
) -> None:
    """Let all of one provider's rows try, one after the other."""
    with ExitStack() as stack:
        model = ScriptedModel(folder / "prompts").start()
        stack.callback(model.stop)
        site = stack.enter_context(Site(folder / "site", rows[0].provider, model.url))
        site.add_workspace(site.new_key())
        bench = Bench(folder / "clients", model, path, outside.env(), seconds)
        for row in rows:
            _try(bench, site, outside, row)


def _install(rows: Sequence[Row]) -> list[str]:
    """Install what is missing, one client after the other; return Node's folder."""
    node: list[str] = []
    try:
        node.append(str(NODE.install().bin))
    except NotInstalled as error:
        _say(f"Node.js is not installed: {error}")
    for row in rows:
        began = time.monotonic()
        try:
            row.installed = row.client.package.install()
        except NotInstalled as error:
            row.failed["installation"] = str(error)
            _say(f"{row.client.name} is not installed: {error}")
        else:
            took = time.monotonic() - began
            _say(f"{row.client.name} {row.installed.version}: there after {took:.0f} s")
    return node


def _try(bench: Bench, site: Site, outside: Outside, row: Row) -> None:
    if row.installed is None:
        return
    outside.asked.clear()
    try:
        blocks = site.connect(row.client.page)
    except httpx2.HTTPError as error:
        row.failed["page"] = str(error)
        return
    for each in row.client.trials:
        try:
            row.passed[each.name] = trial.run(
                bench, row.client, each, row.installed, blocks
            )
        except Failed as failure:
            row.failed[each.name] = str(failure)
        done = row.cell(each.name)
        _say(f"{row.client.name} by {row.provider}, {each.name}: {done}")
    row.asked_outside = list(outside.asked)


def _temporary() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="aiassist-clients-")


def _table(rows: Sequence[Row]) -> str:
    head = ["client", "provider", "version", *TRIALS, "prompt tokens"]
    head.append("asked outside for")
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in ["", *lines]
        if line
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-clients", description=__doc__)
    pages = sorted({client.page for client in CLIENTS})
    parser.add_argument("only", nargs="*", help=f"some of them: {', '.join(pages)}")
    parser.add_argument(
        "--provider",
        action="append",
        choices=PROVIDERS,
        help="which wire the model speaks (default: all)",
    )
    parser.add_argument(
        "--seconds", type=float, default=120, help="for each trial (default: 120)"
    )
    parser.add_argument("--keep", help="a folder for homes and logs, to look at them")
    options = parser.parse_args()
    if unknown := set(options.only) - set(pages):
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    if options.keep and Path(options.keep).exists():
        parser.error(f"{options.keep} exists already")
    return options


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
