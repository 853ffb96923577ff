"""D4: the page of one's own data: a copy is made, shown when ready, and handed out."""

from django.urls import reverse

from accounts.models import DataExport
from accounts.own_data import exports

PAGE = reverse("settings:data")
FILE = reverse("settings:data_file")


def test_d4_a_copy_is_asked_for_and_handed_out_as_a_file(alice, charlie, queue):
    assert "Make a copy" in alice.web.get(PAGE).text
    assert alice.web.get(FILE).status_code == 404
    alice.web.post(PAGE)
    assert "Being made" in alice.web.get(PAGE).text

    exports.build(DataExport.objects.get(user=alice.user).pk)
    fragment = alice.web.get(PAGE, headers={"HX-Request": "true"}).text
    answer = alice.web.get(FILE)

    assert "<html" not in fragment and "Download the copy" in fragment
    assert answer["Content-Disposition"].startswith("attachment")
    assert alice.user.email in answer.text
    assert charlie.web.get(FILE).status_code == 404


def test_a_copy_that_failed_may_be_asked_for_again(alice, queue):
    DataExport.objects.create(user=alice.user, state="failed")

    assert "could not be made" in alice.web.get(PAGE).text
    alice.web.post(PAGE)
    assert "Being made" in alice.web.get(PAGE).text
