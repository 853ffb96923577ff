"""Moments in sentences, as people read them."""

from aiassist.lib.clock import plainly


def test_a_moment_in_a_sentence_is_told_as_people_read_it():
    told = plainly("Wait until 2026-03-03T21:00:00Z, or 2026-11-24T00:00:00.5Z.")

    assert told == "Wait until 21:00 UTC on 3 Mar, or 00:00 UTC on 24 Nov."
    assert plainly("Nothing to change: 2026-03-03.") == "Nothing to change: 2026-03-03."
