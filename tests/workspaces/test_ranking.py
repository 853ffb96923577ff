"""What two searches found, in the order a person wants it."""

from workspaces.finding.intent import read_intent
from workspaces.finding.ranking import Ranked, is_test_path, quoted_share, rank
from workspaces.vectors.base import PointPayload, ScoredPoint


def hit(
    name: str,
    score: float,
    *,
    path: str = "",
    symbol: str = "",
    language: str = "python",
    start: int = 1,
) -> ScoredPoint:
    payload = PointPayload(
        path=path or f"{name}.py",
        start_line=start,
        end_line=start + 8,
        language=language,
        symbol=symbol,
        sha256="0" * 64,
        since=1,
    )
    return ScoredPoint(name, score, payload)


def ids(ranked: list[Ranked]) -> list[str]:
    return [found.id for found in ranked]


def ranked(query: str, dense=(), sparse=()) -> list[str]:
    return ids(rank(read_intent(query), dense, sparse))


def test_what_both_lists_hold_comes_first():
    dense = [hit("a", 0.9), hit("b", 0.88), hit("c", 0.5)]
    sparse = [hit("b", 9.0), hit("d", 8.0)]

    assert ranked("something entirely else", dense, sparse)[0] == "b"


def test_each_point_comes_once_with_a_score_within_one():
    dense = [hit("a", 0.9), hit("b", 0.8)]

    found = rank(read_intent("a b c d"), dense, [hit("a", 5.0), hit("b", 4.0)])

    assert ids(found) == ["a", "b"]
    assert all(0 < f.score <= 1 for f in found)


def test_it_tells_which_search_served_a_hit():
    found = rank(
        read_intent("money moves"),
        [hit("a", 0.9), hit("b", 0.8)],
        [hit("b", 5.0), hit("c", 4.0)],
    )

    assert {f.id: f.served_by for f in found} == {
        "a": "meaning",
        "b": "both",
        "c": "keywords",
    }


def test_the_query_in_a_symbol_lifts_a_hit():
    dense = [
        hit("a", 0.9),
        hit("b", 0.89, path="billing/x.py", symbol="Ledger.settle"),
        hit("z", 0.2),
    ]

    assert ranked("how does the ledger settle", dense)[0] == "b"


def test_tests_stand_lower_unless_they_are_asked_for():
    dense = [
        hit("t", 0.9, path="tests/test_x.py"),
        hit("s", 0.88, path="src/x.py"),
        hit("z", 0.2),
    ]

    assert ranked("how money moves", dense)[0] == "s"
    assert ranked("the test of how money moves", dense)[0] == "t"


def test_a_question_about_tests_prefers_tests():
    dense = [
        hit("s", 0.9, path="src/x.py"),
        hit("t", 0.88, path="tests/test_x.py"),
        hit("z", 0.2),
    ]

    assert ranked("which test covers how money moves", dense)[0] == "t"


def test_documentation_stands_lower_unless_it_is_asked_for():
    dense = [
        hit("d", 0.9, path="docs/x.md", language="markdown"),
        hit("s", 0.88, path="src/x.py"),
        hit("z", 0.2),
    ]

    assert ranked("how money moves", dense)[0] == "s"
    assert ranked("guide to how money moves", dense)[0] == "d"


def test_build_files_stand_lower_unless_they_are_asked_for():
    sparse = [
        hit("d", 9.0, path="Dockerfile", language="dockerfile"),
        hit("s", 8.0, path="jobs/worker.py"),
    ]

    assert ranked("where is a job that kills its worker kept", (), sparse)[0] == "s"
    assert ranked("which dockerfile has the worker", (), sparse)[0] == "d"


def test_a_file_with_more_that_fits_wins_over_a_lone_hit():
    lone = hit("lone", 0.9)
    many = [hit(f"m{i}", 0.89, path="many.py", start=1 + 40 * i) for i in range(3)]

    found = ranked("nothing in particular here", [lone, *many, hit("z", 0.2)])

    assert found[0].startswith("m")


def test_of_passages_about_equally_good_each_file_shows_one_first():
    dense = [
        hit(name, score, path=f"{name[:-1]}.py", start=start)
        for name, score, start in (
            ("a1", 0.9, 1),
            ("a2", 0.9, 40),
            ("b1", 0.899, 1),
            ("b2", 0.899, 40),
            ("z1", 0.2, 1),
        )
    ]

    assert ranked("how money moves", dense)[:4] == ["a1", "b1", "a2", "b2"]
    assert ranked("tests of money", dense)[:4] == ["a1", "a2", "b1", "b2"]


def test_order_does_not_depend_on_the_order_of_equals():
    a, b = hit("a", 0.5), hit("b", 0.5)
    intent = read_intent("q")

    assert rank(intent, [a, b], [b, a]) == rank(intent, [b, a], [a, b])


def test_nothing_found_is_nothing():
    assert ranked("q") == []


def test_it_knows_tests_by_their_paths():
    yes = ["tests/a.py", "a/test_b.py", "b_test.go", "C.spec.ts", "x/FooTest.java"]
    no = ["latest/a.py", "contest.py", "attestation.go", "src/main.rs"]

    assert all(map(is_test_path, yes))
    assert not any(map(is_test_path, no))


def test_a_name_finds_its_definition_before_its_uses():
    dense = [
        hit("use", 0.9, path="a.py", symbol="caller"),
        hit("definition", 0.85, path="b.py", symbol="Ledger.settle, Ledger.hold"),
        hit("z", 0.2),
    ]

    assert ranked("ledger.settle()", dense)[0] == "definition"


def test_a_path_finds_its_file():
    dense = [
        hit("a", 0.9, path="src/other.py"),
        hit("b", 0.3, path="src/app/models.py"),
    ]

    assert ranked("app/models.py", dense)[0] == "b"


def test_it_sees_how_much_of_a_query_is_quoted():
    intent = read_intent("cannot open the file: /tmp/foo")

    assert quoted_share(intent, 'raise Failure("Cannot open the file: %s")') == 4 / 6
    assert quoted_share(intent, "open the other file") == 0
    assert quoted_share(read_intent("a b c"), "a b c") == 0


def test_the_first_vectors_of_an_index_do_not_outdo_words_of_the_rest():
    """Two of a hundred passages have a vector: neither may be what was asked for."""
    dense = [hit("near", 0.4), hit("far", 0.1)]
    sparse = [hit("words", 9.0), hit("near", 1.0)]
    intent = read_intent("how is money given back")

    few = rank(intent, dense, sparse, coverage=0.02)
    all_of_them = rank(intent, dense, sparse, coverage=1.0)

    assert (few[0].id, all_of_them[0].id) == ("words", "near")


def test_without_vectors_the_best_match_of_the_words_comes_first():
    sparse = [
        hit("refund", 9.0, path="shop/refund.py"),
        *(hit(f"many{n}", 5.0, path="shop/cart.py", start=n * 20) for n in range(4)),
    ]

    assert ranked("money that customers get back", sparse=sparse)[0] == "refund"
