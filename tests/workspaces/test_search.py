"""Which lines a search shows, and what it says about the index that served it."""

import pytest

from workspaces.finding.search import search
from workspaces.indexing.keywords import passage_terms
from workspaces.models import Workspace
from workspaces.vectors.base import Point, PointPayload

pytestmark = pytest.mark.django_db

BODY = "\n".join(f"    total += weigh(item_{i}, 'some words here')" for i in range(25))
SHOP = f'''def refund(order):
    """Give the customer's money back."""
{BODY}
    return total


def greet(name):
    return "hello"
'''
TEST = """def test_refund_gives_the_money_back():
    order = pay(10)
    assert refund(order) == 10
    assert order.is_refunded
"""
COPY = """def parse_header(line):
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
"""


def found(workspace, query, **options):
    return search(workspaces=[workspace], query=query, **options).hits


def test_a_part_of_a_small_definition_shows_it_whole_and_once(alice, indexer):
    indexer.index(alice.workspace, {"shop.py": SHOP, "other.py": "x = 1\n"})

    hits = found(alice.workspace, "refund")

    refunds = [hit for hit in hits if hit.symbol == "refund"]
    assert [(hit.start_line, hit.end_line) for hit in refunds] == [(1, 28)]
    assert refunds[0].text.endswith("return total")


def test_no_line_is_shown_twice(alice, indexer):
    indexer.index(alice.workspace, {"shop.py": SHOP, "test_shop.py": TEST})

    hits = found(alice.workspace, "refund the money", max_results=50)

    lines = [(h.path, n) for h in hits for n in range(h.start_line, h.end_line + 1)]
    assert len(lines) == len(set(lines))


def test_a_lone_brace_is_no_hit(alice, indexer):
    calls = "\n".join(f"        total += weigh(item{i}, refund);" for i in range(60))
    shop = f"class Shop {{\n    refund() {{\n{calls}\n    }}\n}}\n"
    indexer.index(alice.workspace, {"shop.js": shop, "empty.json": "{}\n"})

    hits = found(alice.workspace, "shop", max_results=50)

    assert {hit.text for hit in hits if "total" not in hit.text} == {"{}"}
    assert [hit.text for hit in found(alice.workspace, "empty.json")][0] == "{}"


def test_a_question_about_tests_gets_tests_first(alice, indexer):
    indexer.index(alice.workspace, {"src/shop.py": SHOP, "tests/test_shop.py": TEST})

    assert found(alice.workspace, "how is money refunded?")[0].path == "src/shop.py"
    assert (
        found(alice.workspace, "which test covers a refund?")[0].path
        == "tests/test_shop.py"
    )


def test_a_copied_passage_is_shown_once(alice, indexer):
    copies = {f"vendored{i}/header.py": COPY for i in range(3)}
    indexer.index(alice.workspace, {**copies, "shop.py": SHOP})

    hits = found(alice.workspace, "parse_header")

    assert sum(hit.symbol == "parse_header" for hit in hits) == 1


def test_each_hit_says_which_search_served_it(alice, indexer):
    indexer.index(alice.workspace, {"shop.py": SHOP})

    (by_words,) = found(alice.workspace, "greet", mode="keyword", max_results=1)
    (by_meaning,) = found(alice.workspace, "say hello", mode="semantic", max_results=1)

    assert by_words.served_by == "keywords"
    assert by_meaning.served_by == "meaning"


def test_a_whole_index_says_that_it_is(alice, indexer):
    indexer.index(alice.workspace, {"shop.py": SHOP})

    index = search(workspaces=[alice.workspace], query="greet").index

    assert index is not None
    assert (index.state, index.keywords, index.meaning) == ("ready", 1.0, 1.0)


def test_a_query_over_all_workspaces_says_what_served_each(alice, indexer):
    indexer.index(alice.workspace, {"shop.py": SHOP})

    told = alice.api.post(
        "/api/v1/assistant/query", {"query": "greet"}, format="json"
    ).json()

    index = told["indexes"][alice.workspace.pk]
    assert (index["state"], index["meaning"]) == ("ready", 1.0)
    assert told["results"][0]["served_by"] == "both"


def test_nothing_is_searched_before_there_is_an_index(alice):
    outcome = search(workspaces=[alice.workspace], query="greet")

    assert outcome.hits == []
    assert outcome.index is not None
    assert outcome.index.state == "empty"


def test_passages_without_vectors_are_found_by_their_words(alice, indexer):
    """While a first index is being made, its words serve before its meaning does."""
    indexer.index(alice.workspace, {"shop.py": SHOP})
    store, workspace = indexer.store, Workspace.objects.get(pk=alice.workspace.pk)
    points = list(store.scroll(workspace.pk))
    store.delete(workspace.pk, [point_id for point_id, _ in points])
    store.upsert(
        workspace.pk,
        [
            Point(point_id, None, words_of(payload), payload)
            for point_id, payload in points
        ],
    )

    hits = found(workspace, "greet")

    assert hits[0].symbol == "greet"
    assert {hit.served_by for hit in hits} == {"keywords"}


def words_of(payload: PointPayload):
    return passage_terms(payload.symbol, payload.path, payload.symbol)


def test_another_models_vectors_are_not_compared(alice, indexer):
    """A change of the model re-indexes; until then only words can be trusted."""
    indexer.index(alice.workspace, {"shop.py": SHOP})
    Workspace.objects.filter(pk=alice.workspace.pk).update(index_version="older/1/1")

    outcome = search(
        workspaces=[Workspace.objects.get(pk=alice.workspace.pk)], query="greet"
    )

    assert {hit.served_by for hit in outcome.hits} == {"keywords"}
    assert outcome.index is not None
    assert outcome.index.meaning == 0.0


def test_a_pasted_error_finds_the_line_that_raises_it(alice, indexer):
    error = 'def open_till():\n    raise TillError("The till cannot be opened now")\n'
    decoys = {
        f"till{i}.py": f'def open_till_{i}():\n    """Open the till: an error."""\n'
        for i in range(8)
    }
    indexer.index(alice.workspace, {**decoys, "errors.py": error})

    hits = found(alice.workspace, "TillError: The till cannot be opened now")

    assert hits[0].path == "errors.py"
