"""Secrets are typed once and never come back; files and secrets are not asked for again when a form has errors."""

from datetime import UTC, datetime

import pytest

from profiles.errors import SecretError
from profiles.forms import PayloadForm, StoredSecret
from protocol.schema import packaged
from tests.profiles.forms.page import Page

CATALOGUE = packaged()
WIFI = "com.apple.wifi.managed"
OPEN = {"SSID_STR": "Office", "EncryptionType": "WPA2"}
STORED = StoredSecret("office-wifi", 12, datetime(2026, 11, 3, 9, tzinfo=UTC))


class Safe:
    """What is held for one person, and the names that new secrets get."""

    def __init__(self):
        self.values, self.names, self.files = {}, [], {}

    def hold(self, value, file_name):
        token = f"token-{len(self.values)}"
        self.values[token] = value
        self.files[token] = file_name
        return token

    def name(self, path):
        self.names.append(f"new-{len(self.names)}")
        return self.names[-1]

    def form(self, variant, content, post=(None, None), **given):
        return PayloadForm(
            CATALOGUE.payloads[variant],
            catalogue=CATALOGUE,
            content=content,
            data=post[0],
            files=post[1],
            secrets=[STORED],
            hold=given.get("hold", self.hold),
            held=self.values.get,
            secret_name=self.name,
        )


def test_a_typed_secret_is_named_in_the_content_and_nowhere_in_the_page():
    safe = Safe()
    page = Page(str(safe.form(WIFI, OPEN))).type("p/Password", "correct horse ü")
    form = safe.form(WIFI, OPEN, page.post())
    assert form.is_valid()
    assert form.content["Password"] == "{{ secret.new-0 }}"
    assert form.new_secrets == {"new-0": "correct horse ü".encode()}
    assert "correct horse" not in str(form)
    assert "correct horse" not in repr(form._root)


def test_a_secret_typed_beside_an_error_is_held_and_stored_with_the_next_save():
    safe = Safe()
    page = Page(str(safe.form(WIFI, OPEN))).type("p/Password", "hunter22").type("p/EncryptionType", "")
    bad = safe.form(WIFI, OPEN, page.type("p/HIDDEN_NETWORK", "perhaps").post())
    assert not bad.is_valid()
    page = Page(str(bad))
    assert "hunter22" not in page.html
    assert "8 characters, not saved yet" in page.html
    # A second time: it is not held twice.
    page = Page(str(safe.form(WIFI, OPEN, page.post())))
    assert len(safe.values) == 1
    good = safe.form(WIFI, OPEN, page.type("p/HIDDEN_NETWORK", "true").post())
    assert good.is_valid(), good.problems
    assert list(good.new_secrets.values()) == [b"hunter22"]


def test_buttons_of_the_form_give_out_no_names():
    safe = Safe()
    page = Page(str(safe.form(WIFI, OPEN))).type("p/Password", "hunter22")
    data, files = page.post()
    data["_op"] = "refresh"
    str(safe.form(WIFI, OPEN, (data, files)))
    assert safe.names == []


def test_a_stored_secret_is_shown_by_its_length_and_day_and_can_be_chosen_and_removed():
    safe = Safe()
    content = {**OPEN, "Password": "{{ secret.office-wifi }}"}
    page = Page(str(safe.form(WIFI, content)))
    assert "office-wifi: 12 characters, set 3 Nov 2026" in page.html
    assert safe.form(WIFI, content, page.post()).content == content
    assert safe.form(WIFI, content, page.type("p/Password~s", "").post()).content == OPEN
    page = Page(str(safe.form(WIFI, OPEN))).type("p/Password~s", "name:office-wifi")
    assert safe.form(WIFI, OPEN, page.post()).content == content


def test_a_secret_that_stands_in_the_content_is_kept_unseen_and_moves_with_its_item():
    safe = Safe()
    content = {**OPEN, "Password": "plain in the import"}
    form = safe.form(WIFI, content)
    assert "plain in the import" not in str(form)
    page = Page(str(form))
    assert safe.form(WIFI, content, page.post()).content == content
    # Somebody took it away meanwhile: say so rather than send a hole.
    late = safe.form(WIFI, OPEN, page.post())
    assert not late.is_valid()
    assert late.problems[0].where == "Password"


def test_a_variable_is_no_secret():
    safe = Safe()
    page = Page(str(safe.form(WIFI, OPEN))).type("p/Password", "{{ user.name }}")
    form = safe.form(WIFI, OPEN, page.post())
    assert form.content["Password"] == "{{ user.name }}"
    assert form.new_secrets == {}
    content = form.content
    page = Page(str(safe.form(WIFI, content)))
    assert "filled in for each device: {{ user.name }}" in page.html
    assert safe.form(WIFI, content, page.post()).content == content


@pytest.mark.parametrize(
    "choice", ["name:", "name:../x", "name:a b", "held:nothing", "at:/SSID_STR/x", "at:", "odd", "at:/9"]
)
def test_a_choice_that_nobody_offered_is_refused(choice):
    safe = Safe()
    page = Page(str(safe.form(WIFI, OPEN))).type("p/Password~s", choice)
    form = safe.form(WIFI, OPEN, page.post())
    assert not form.is_valid()
    assert [problem.where for problem in form.problems] == ["Password"]
    str(form)


def test_a_secret_of_the_type_data_is_named_in_data():
    safe = Safe()
    content = {"UserDefinedName": "x", "VPNType": "IPSec", "IPSec": {"AuthenticationMethod": "SharedSecret"}}
    page = Page(str(safe.form("com.apple.vpn.managed", content))).upload("p/IPSec/SharedSecret~f", b"\xff\x00key")
    form = safe.form("com.apple.vpn.managed", content, page.post())
    assert form.is_valid(), form.problems
    assert form.content["IPSec"]["SharedSecret"] == b"{{ secret.new-0 }}"
    assert form.new_secrets == {"new-0": b"\xff\x00key"}


def test_a_large_file_stays_where_it_is_and_is_named_by_its_digest():
    safe = Safe()
    content = {"Font": b"\x00\x01\x02font" * 3_000_000, "Name": "Sans"}
    page = Page(str(safe.form("com.apple.font", content)))
    assert len(page.html) < 10_000
    assert "SHA-256" in page.html
    form = safe.form("com.apple.font", content, page.post())
    assert form.is_valid(), form.problems
    assert form.content == content
    late = safe.form("com.apple.font", {"Name": "Sans"}, page.post())
    assert [problem.sentence for problem in late.problems] == ["was kept for a day and is gone: give it again."]


def test_an_uploaded_file_is_held_while_the_form_comes_back():
    safe = Safe()
    font = b"\x00\xff" * 10_000
    page = Page(str(safe.form("com.apple.font", {}))).upload("p/Font~f", font, "sans<b>.ttf")
    data, files = page.post()
    data["_op"] = "refresh"
    page = Page(str(safe.form("com.apple.font", {}, (data, files))))
    assert "sans&lt;b&gt;.ttf, not saved yet" in page.html
    page = Page(str(safe.form("com.apple.font", {}, page.post())))
    assert len(safe.values) == 1
    assert safe.form("com.apple.font", {}, page.post()).content == {"Font": font}
    assert "Font" not in safe.form("com.apple.font", {}, page.type("p/Font~z", "1").post()).content


def test_small_data_that_is_text_is_edited_as_text_and_other_data_as_base64():
    safe = Safe()
    pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    content = {"PayloadContent": pem}
    page = Page(str(safe.form("com.apple.security.pem", content)))
    assert page.value("p/PayloadContent") == pem.decode()
    page.type("p/PayloadContent", "other\n")
    assert safe.form("com.apple.security.pem", content, page.post()).content == {"PayloadContent": b"other\n"}
    page.type("p/PayloadContent~t", "base64").type("p/PayloadContent", "AP8=")
    assert safe.form("com.apple.security.pem", content, page.post()).content == {"PayloadContent": b"\x00\xff"}
    bad = safe.form("com.apple.security.pem", content, page.type("p/PayloadContent", "%%").post())
    assert not bad.is_valid()
    assert Page(str(bad)).value("p/PayloadContent") == "%%"


def test_a_file_too_large_to_hold_is_asked_for_again_in_words():
    def refuse(value, file_name):
        raise SecretError("is too large to be held.")

    safe = Safe()
    page = Page(str(safe.form("com.apple.font", {}))).upload("p/Font~f", b"\x00" * 10_000)
    data, files = page.post()
    data["_op"] = "refresh"
    html = str(safe.form("com.apple.font", {}, (data, files), hold=refuse))
    assert "too large to be kept" in html
    assert "p/Font~f" in Page(html).names
