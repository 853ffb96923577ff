"""What is sealed opens with its own key and purpose alone."""

import pytest

from aiassist.lib.vault import SealBroken, seal, unseal


def test_a_sealed_secret_opens_with_its_key_and_purpose_alone(settings):
    settings.DATA_KEY = "a" * 40
    sealed = seal("token", purpose="one")
    assert seal("token", purpose="one") != sealed
    assert unseal(sealed, purpose="one") == "token"

    settings.DATA_KEY, settings.DATA_KEY_PREVIOUS = "b" * 40, "a" * 40
    assert unseal(sealed, purpose="one") == "token", "a change of keys keeps it"
    for broken in (sealed[:-2] + "AA", "", "v1..", "v2" + sealed[2:]):
        with pytest.raises(SealBroken):
            unseal(broken, purpose="one")
    with pytest.raises(SealBroken):
        unseal(sealed, purpose="two")
    settings.DATA_KEY_PREVIOUS = ""
    with pytest.raises(SealBroken):
        unseal(sealed, purpose="one")


def test_a_first_data_key_and_a_new_secret_key_break_no_seal(settings):
    sealed = seal("token", purpose="one")  # under a key of SECRET_KEY

    settings.DATA_KEY = "a" * 40
    assert unseal(sealed, purpose="one") == "token"
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "b" * 40
    assert unseal(sealed, purpose="one") == "token"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(SealBroken):
        unseal(sealed, purpose="one")
