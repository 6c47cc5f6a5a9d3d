"""Whatever Apple's schema allows goes through the form and comes back the same, for every file of the catalogue."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiles.forms import PayloadForm
from protocol.plist import dumps
from protocol.schema import check_payload, packaged
from tests.profiles.forms.page import Page
from tests.profiles.forms.payloads import contents

CATALOGUE = packaged()
COMMON = frozenset(key.name for key in CATALOGUE.common.keys)
QUICK = settings(
    max_examples=4,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Safe:
    """Where values wait while a form comes back."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def hold(self, value: bytes, file_name: str) -> str:
        self.values[f"token-{len(self.values)}"] = value
        return f"token-{len(self.values) - 1}"


@pytest.mark.parametrize("variant", sorted(CATALOGUE.payloads))
@QUICK
@given(data=st.data())
def test_a_valid_payload_comes_back_from_its_form_as_the_same_bytes(variant: str, data: st.DataObject) -> None:
    facts = CATALOGUE.payloads[variant]
    content = data.draw(contents(facts.keys, taken=COMMON))
    assert check_payload(facts, content) == []
    safe = Safe()

    def form(post=None):
        given_data, files = post or (None, None)
        return PayloadForm(
            facts,
            catalogue=CATALOGUE,
            content=content,
            data=given_data,
            files=files,
            hold=safe.hold,
            held=safe.values.get,
        )

    page = Page(str(form()))
    assert_is_sound(page)
    first = form(page.post())
    assert first.is_valid(), first.problems
    assert dumps(first.content, sort_keys=True) == dumps(content, sort_keys=True)
    # A form that came back is as good as one that was opened.
    post, files = page.post()
    post["_op"] = "refresh"
    again = form((post, files))
    assert not again.is_valid()
    back = form(Page(str(again)).post())
    assert back.is_valid(), back.problems
    assert dumps(back.content, sort_keys=True) == dumps(content, sort_keys=True)
    assert first.new_secrets == back.new_secrets == {}


@pytest.mark.parametrize("variant", sorted(CATALOGUE.payloads))
def test_an_empty_form_opens_and_posts_nothing_but_open_sections(variant: str) -> None:
    facts = CATALOGUE.payloads[variant]
    page = Page(str(PayloadForm(facts, catalogue=CATALOGUE, content=None)))
    assert_is_sound(page)
    data, files = page.post()
    form = PayloadForm(facts, catalogue=CATALOGUE, content=None, data=data, files=files)
    form.is_valid()
    assert_is_sound(Page(str(form)))
    named = {key.name for key in facts.keys if key.required}
    assert set(form.content) <= named
    assert form.keys_total > 0 or not facts.keys


def assert_is_sound(page: Page) -> None:
    """No id twice, a label for everything to fill in, and nothing described by what is not there."""
    assert len(page.ids) == len(set(page.ids)), [one for one in page.ids if page.ids.count(one) > 1]
    assert not [one for one in page.ids if " " in one]
    for found in page.fields:
        if found.kind in {"hidden", "checkbox"}:
            continue
        assert found.attributes.get("aria-label") or found.attributes.get("id") in page.labelled, found
    assert page.described <= set(page.ids)
    assert "<script" not in page.html
    assert "style=" not in page.html
