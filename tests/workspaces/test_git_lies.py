"""Git hosts that lie: each ends in a sentence, and the workspace stays as it was."""

import pytest

from aiassist.lib.egress import Caps
from tests.workspaces.git_imports import imported, paths
from tests.workspaces.test_git_pack import commit_of, oid, packed, simple, tree_of
from workspaces.git import wire
from workspaces.git.wire import Remote
from workspaces.models import GitSource

REFS = "/code.git/info/refs"
PACK = "/code.git/git-upload-pack"
CAPS = "side-band-64k shallow filter ofs-delta"
OBJECTS, COMMIT = simple()
HEAD = COMMIT.hex()


def line(data):
    data = data.encode() if isinstance(data, str) else data
    return b"%04x" % (len(data) + 4) + data


def refs_of(*rows, caps=CAPS):
    first, *others = rows
    body = line("# service=git-upload-pack\n") + b"0000" + line(f"{first}\0{caps}\n")
    body += b"".join(line(f"{row}\n") for row in others) + b"0000"
    return 200, {"Content-Type": "application/x-git-upload-pack-advertisement"}, body


def answer_of(*lines):
    kind = {"Content-Type": "application/x-git-upload-pack-result"}
    return 200, kind, b"".join(lines) + b"0000"


def pack_of(data):
    return answer_of(
        line("NAK\n"),
        line(b"\2counting"),
        *(line(b"\1" + data[at : at + 60_000]) for at in range(0, len(data), 60_000)),
    )


HONEST_REFS = refs_of(f"{HEAD} HEAD")
HONEST_PACK = pack_of(packed(OBJECTS))


@pytest.fixture
def lying(alice, host, queue):
    """Import from a host that gives these answers; return the job."""

    def fetch(refs=HONEST_REFS, pack=HONEST_PACK, **more):
        host.answers[REFS], host.answers[PACK] = refs, pack
        return imported(alice, host, **more)

    return fetch


def test_the_answers_of_these_tests_are_an_honest_hosts(alice, lying):
    job = lying()

    assert (job.fetching, paths(alice.workspace)) == (False, {"a.py"})


MASTER = f"{HEAD} refs/heads/master"
SENTENCES = {
    "sha-256": (refs_of(MASTER, caps=f"{CAPS} object-format=sha256"), "SHA-256"),
    "empty": (refs_of("0" * 40 + " capabilities^{}"), "is empty"),
    "no default branch": (refs_of(MASTER), "no default branch"),
    "no ids": (refs_of("xyz HEAD"), "cannot read"),
    "old": (refs_of(f"{HEAD} HEAD", caps="multi_ack"), "too old"),
    "an error": (answer_of(line("ERR no\n")), "no git repository"),
    "a refusal": (
        (200, refs_of(MASTER)[1], line("ERR access denied\n") + b"0000"),
        "refused",
    ),
    "a teapot": ((418, {}, b""), "answered with 418"),
}


def test_s3_refs_that_are_none_fail_at_once_with_a_sentence(alice, lying):
    for what, (refs, words) in SENTENCES.items():
        job = lying(refs=refs)

        assert (job.state, words in job.error) == ("failed", True), (what, job.error)
    assert paths(alice.workspace) == set()


def test_s3_a_host_without_a_filter_sends_everything(alice, lying):
    lying(refs=refs_of(f"{HEAD} HEAD", caps="side-band-64k shallow"))

    assert paths(alice.workspace) == {"a.py"}


def test_f5_a_branch_that_no_column_takes_is_not_kept(alice, lying):
    """The default branch is named by the host alone."""
    for name in ("x" * 300, "a\0b", "\u202e", ".."):
        caps = f"{CAPS} symref=HEAD:{name}"
        lying(refs=refs_of(f"{HEAD} HEAD", caps=caps))

        source = GitSource.objects.get()
        assert (source.branch, source.error, source.commit) == ("", "", HEAD), name


def test_a_branch_with_the_longest_of_names_is_imported(alice, lying):
    name = "b" * 255
    refs = refs_of(f"{HEAD} refs/heads/{name}")

    lying(refs=refs, ref=name)

    source = GitSource.objects.get()
    assert (source.ref, source.branch, source.error) == (name, "", "")


GIVEN_UP = {
    "an end": (answer_of(line("NAK\n"), line(b"\3fatal")), "failed", "broke off"),
    "an error": (answer_of(line("ERR gone\n")), "failed", "no such commit"),
    "no pack": (pack_of(b"<html>"), "failed", "cannot be read"),
    "another commit": (pack_of(packed(OBJECTS[:2])), "failed", "no commit"),
    "a fourth band": (answer_of(line("NAK\n"), line(b"\7x")), "queued", ""),
    "a length of 1": (answer_of(b"0001"), "queued", ""),
    "lines for ever": (answer_of(line("NAK\n") * 10_001), "queued", ""),
    "half a line": (answer_of(line("NAK\n"), b"fff0\1abc"), "queued", ""),
    "html": ((200, {"Content-Type": "text/html"}, b"<html>"), "failed", "no git"),
}


def test_s3_a_pack_that_is_none_ends_the_try(alice, lying):
    for what, (pack, state, words) in GIVEN_UP.items():
        job = lying(pack=pack)

        error = GitSource.objects.get().error
        assert (job.state, bool(error)) == (state, True), (what, job.error)
        assert words in error, (what, error)
    assert paths(alice.workspace) == set()


def test_f1_chatter_counts_towards_what_a_tier_takes(alice, lying, monkeypatch):
    """Not a byte of it is the repository's."""
    chatter = answer_of(line("NAK\n"), line(b"\2" + b"x" * 60_000) * 400)
    monkeypatch.setattr(Caps, "__init__", _small_caps(Caps.__init__))

    job = lying(pack=chatter)

    assert (job.state, "larger than your tier" in job.error) == ("failed", True)


def _small_caps(kept):
    def init(self, **caps):
        kept(self, **{**caps, "max_bytes": 1_000_000})

    return init


def test_a_repository_without_a_file_that_is_kept_changes_nothing(alice, lying):
    tree = tree_of((b"100644", b".env", oid(3, b"x = 1\n")))
    commit = commit_of(oid(2, tree))
    objects = [(3, b"x = 1\n"), (2, tree), (1, commit)]

    job = lying(
        refs=refs_of(f"{oid(1, commit).hex()} HEAD"), pack=pack_of(packed(objects))
    )

    assert (job.state, "no file that can be indexed" in job.error) == ("failed", True)


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://bitbucket.org/a/b", "x-token-auth"),
        ("https://gitlab.example.org/a/b", "oauth2"),
        ("https://github.com/a/b", "x-access-token"),
    ],
)
def test_a_token_alone_comes_with_the_name_that_its_host_wants(url, user):
    assert wire._usual_username(url) == user


def test_m5_a_remote_is_never_shown_with_its_token():
    assert "canary" not in repr(Remote("https://a.example/b", token="canary"))
