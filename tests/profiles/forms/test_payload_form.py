"""The form as people use it: sections that open, lists that move, errors that say what would be right."""

import re

import pytest
from django.http import QueryDict

from profiles.forms import PayloadForm, RawForm, Reference, anchor, build
from protocol.plist import dumps
from protocol.schema import packaged
from tests.profiles.forms.page import Page
from tests.profiles.forms.sitting import Sitting

CATALOGUE = packaged()
VPN = "com.apple.vpn.managed"
PASSCODE = "com.apple.mobiledevice.passwordpolicy"


def test_a_new_payload_without_a_keystroke_sets_nothing():
    sitting = Sitting(PASSCODE).save()
    assert sitting.valid
    assert sitting.form.content == {}
    assert sitting.form.keys_set == 0


@pytest.mark.parametrize("kind", ["IKEv2", "L2TP", "VPN"])
def test_a_group_counts_the_keys_that_one_can_see(kind):
    html = str(Sitting(VPN, {"VPNType": kind}).form)
    groups = re.findall(
        r'<details class="f-group".*?</details>(?=<details class="f-g|<details class="f-u|</div>$)', html
    )
    assert len(groups) > 1
    for group in groups:
        count = re.search(r'class="f-count">(?:\d+ of )?(\d+)<', group)
        assert int(count.group(1)) == group.count("data-words="), group[:200]
    bar = re.search(r"(\d+) of (\d+) shown", html)
    assert bar.group(1) == bar.group(2) == str(html.count("data-words="))


def test_not_set_is_not_false():
    content = {"forcePIN": False}
    sitting = Sitting(PASSCODE, content)
    assert sitting.page.value("p/forcePIN") == "false"
    assert sitting.page.value("p/allowSimple") == ""
    assert sitting.save().form.content == content
    sitting.type("forcePIN", "").type("allowSimple", "true").save()
    assert sitting.form.content == {"allowSimple": True}


def test_an_empty_text_that_was_set_stays_until_its_mark_is_taken_away():
    sitting = Sitting(VPN, {"UserDefinedName": "", "VPNType": "L2TP"})
    assert sitting.save().form.content["UserDefinedName"] == ""
    sitting.type("UserDefinedName~e", None).save()
    assert sitting.said == {"UserDefinedName": "is required."}


def test_an_on_demand_rule_is_built_moved_and_saved_by_buttons_alone():
    sitting = (
        Sitting(VPN)
        .type("UserDefinedName", "Office")
        .type("VPNType", "IPSec")
        .press("refresh")
        .press("configure:p/IPSec")
    )
    rules = "p/IPSec/OnDemandRules"
    sitting.type("IPSec/AuthenticationMethod", "Certificate").press("refresh")
    sitting.type("IPSec/OnDemandEnabled", "1").press("refresh").press(f"configure:{rules}").press(f"add:{rules}")
    sitting.type("IPSec/OnDemandRules/0/Action", "Disconnect").type(
        "IPSec/OnDemandRules/1/Action", "EvaluateConnection"
    )
    sitting.press("refresh").press(f"configure:{rules}/1/ActionParameters")
    sitting.type("IPSec/OnDemandRules/1/ActionParameters/0/DomainAction", "ConnectIfNeeded")
    domains = f"{rules}/1/ActionParameters/0/Domains"
    if f"configure:{domains}" in sitting.page.buttons:
        sitting.press(f"configure:{domains}")
    sitting.type(f"{domains[2:]}/0", "example.com").press(f"add:{domains}")
    sitting.type(f"{domains[2:]}/1", "example.org").press(f"up:{domains}/1").press(f"up:{rules}/1").save()
    assert sitting.valid, sitting.said
    assert sitting.form.content["IPSec"]["OnDemandRules"] == [
        {
            "Action": "EvaluateConnection",
            "ActionParameters": [{"DomainAction": "ConnectIfNeeded", "Domains": ["example.org", "example.com"]}],
        },
        {"Action": "Disconnect"},
    ]
    sitting.press("remove:p/IPSec/OnDemandRules/0").save()
    assert sitting.form.content["IPSec"]["OnDemandRules"] == [{"Action": "Disconnect"}]
    sitting.press("remove:p/IPSec").save()
    assert "IPSec" not in sitting.form.content


def test_a_list_without_items_is_not_an_absent_list():
    sitting = Sitting("com.apple.airplay", {"AllowList": []})
    assert sitting.save().form.content == {"AllowList": []}


def test_a_blank_item_is_an_error_and_nothing_moves_up_for_it():
    sitting = (
        Sitting("com.apple.loginwindow", {})
        .press("configure:p/AllowList")
        .press("add:p/AllowList")
        .type("AllowList/1", "ada")
        .save()
    )
    assert sitting.said == {"AllowList[0]": "is empty: fill it in or remove it."}
    assert sitting.page.value("p/AllowList/1") == "ada"


@pytest.mark.parametrize("operation", [
    "add:p", "add:", "remove:p", "up:p/forcePIN", "add:p/forcePIN", "configure:p/forcePIN/9/~r/3", "remove:p/~r/0",
    "configure:p/nothing", "remove:p/~r", "up:p/0", "down:~c~c/", "add:p/" + "x/" * 5000, "nonsense", "configure:" + "p/" * 40,
])  # fmt: skip
def test_an_operation_on_nothing_changes_nothing(operation):
    content = {"forcePIN": True, "minLength": 6}
    facts = CATALOGUE.payloads[PASSCODE]
    data, _ = Page(str(PayloadForm(facts, catalogue=CATALOGUE, content=content))).post()
    data["_op"] = operation
    form = PayloadForm(facts, catalogue=CATALOGUE, content=content, data=data)
    assert not form.is_valid()
    assert form.content == content


def test_what_was_typed_comes_back_with_its_error_and_a_hint():
    sitting = (
        Sitting(PASSCODE).type("minLength", " six ").type("maxPINAgeInDays", "9" * 5000).type("forcePIN", "true").save()
    )
    assert not sitting.valid
    assert sitting.said["minLength"] == "must be a whole number, such as 15."
    assert sitting.said["maxPINAgeInDays"].startswith("must fit into 64 bits")
    assert sitting.page.value("p/minLength") == " six "
    assert sitting.page.value("p/maxPINAgeInDays") == "9" * 5000
    assert sitting.form.content == {"forcePIN": True}
    assert 'aria-invalid="true"' in sitting.page.html
    assert sitting.type("minLength", "6").type("maxPINAgeInDays", "").save().valid


@pytest.mark.parametrize(("text", "value"), [
    ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)), ("+7", 7), (" 8 ", 8), ("007", 7),
])  # fmt: skip
def test_integers_reach_as_far_as_a_plist_does(text, value):
    sitting = (
        Sitting("com.apple.system.logging").press("add:p/System") if False else Sitting("com.apple.xsan.preferences")
    )
    name = next(
        key.name
        for key in CATALOGUE.payloads["com.apple.MCX(Mobililty)"].keys
        if key.type == "integer" and key.minimum is None
    )
    sitting = Sitting("com.apple.MCX(Mobililty)").type(name, text).save()
    assert sitting.form.content == {name: value}


@pytest.mark.parametrize(
    "text", ["18446744073709551616", "-9223372036854775809", "1.0", "0x10", "٣", "1e3", "--1", "true", "1 2"]
)
def test_what_is_no_64_bit_integer_is_refused(text):
    name = next(
        key.name
        for key in CATALOGUE.payloads["com.apple.MCX(Mobililty)"].keys
        if key.type == "integer" and key.minimum is None
    )
    sitting = Sitting("com.apple.MCX(Mobililty)").type(name, text).save()
    assert list(sitting.said) == [name]
    assert sitting.page.value(f"p/{name}") == text


def test_a_number_typed_into_a_real_is_a_real_and_a_stored_integer_stays_one():
    stored = Sitting("com.apple.mcxMenuExtras", {"delaySeconds": 1})
    assert dumps(stored.save().form.content) == dumps({"delaySeconds": 1})
    assert dumps(Sitting("com.apple.mcxMenuExtras").type("delaySeconds", "1").save().form.content) == dumps(
        {"delaySeconds": 1.0}
    )
    assert not Sitting("com.apple.mcxMenuExtras").type("delaySeconds", "1e999").save().valid
    assert not Sitting("com.apple.mcxMenuExtras").type("delaySeconds", "nan").save().valid


def test_a_date_is_utc_and_nonsense_comes_back_as_it_was_typed():
    sitting = (
        Sitting("com.apple.systempolicy.rule", {"Requirement": "x"}).type("Expiration", "2030-01-31T18:30+02:00").save()
    )
    assert sitting.form.content["Expiration"].isoformat() == "2030-01-31T16:30:00"
    sitting.type("Expiration", "soon").save()
    assert sitting.said == {"Expiration": "must be a date and time in UTC, such as 2030-01-31 18:30."}
    assert sitting.page.value("p/Expiration") == "soon"


@pytest.mark.parametrize("text", ["a\x00b", "\x0b", "\ufffe", "\ud800"])
def test_a_character_that_no_plist_carries_is_refused_with_its_path(text):
    sitting = Sitting("com.apple.notificationsettings")
    sitting.type("NotificationSettings/0/BundleIdentifier", text)
    data, files = sitting.page.post()
    form = PayloadForm(CATALOGUE.payloads[sitting.variant], catalogue=CATALOGUE, content={}, data=data, files=files)
    assert not form.is_valid()
    assert [problem.where for problem in form.problems] == ["NotificationSettings[0].BundleIdentifier"]
    str(form).encode("utf-8", "surrogatepass")


def test_a_value_outside_the_list_is_kept_and_refused():
    sitting = Sitting(VPN, {"UserDefinedName": "x", "VPNType": "Carrier pigeon"})
    assert sitting.page.value("p/VPNType") == "Carrier pigeon"
    sitting.save()
    assert "must be one of" in sitting.said["VPNType"]
    assert sitting.page.value("p/VPNType") == "Carrier pigeon"
    assert sitting.type("VPNType", "{{ user.name }}").save().valid


def test_a_stored_value_of_a_wrong_type_is_shown_as_xml_and_can_be_removed():
    sitting = Sitting(PASSCODE, {"minLength": "six", "forcePIN": [1, {"a": 2.5}]})
    assert sitting.page.value("p/minLength~x") == "<string>six</string>"
    sitting.save()
    assert sitting.said == {"minLength": "must be a whole number.", "forcePIN": "must be true or false."}
    assert sitting.form.content == {"minLength": "six", "forcePIN": [1, {"a": 2.5}]}
    sitting.press("remove:p/minLength").press("remove:p/forcePIN").type("minLength", "6").save()
    assert sitting.form.content == {"minLength": 6}


@pytest.mark.parametrize(("xml", "word"), [
    ("<dict><key>a</key><true/><key>a</key><false/></dict>", "twice"),
    ("<dict><key>minLength</key><integer>4</integer></dict>", "has a field of its own"),
    ("<dict><key>PayloadUUID</key><string>x</string></dict>", "the portal writes itself"),
    ("<array/>", "must be a <dict>"),
    ("<dict/><dict/>", "must be one value"),
    ("<dict>loose<key>a</key><true/></dict>", "text between its elements"),
    ("<dict><key>a</key></dict>", "must be XML"),
    ("not xml", "must be XML"),
    ("<dict><key>a</key><integer>99999999999999999999</integer></dict>", "must be XML"),
    ("<dict><key>a</key>" + "<array>" * 5000 + "</array>" * 5000 + "</dict>", "nested deeper"),
    ("<!DOCTYPE x [<!ENTITY a 'b'>]><plist><dict><key>&a;</key><true/></dict></plist>", "must be XML"),
    ("<dict><key>a\x00</key><true/></dict>", "must be XML"),
    ("<dict><key>\ud800</key><true/></dict>", "must be XML"),
])  # fmt: skip
def test_a_fragment_that_would_lose_something_is_refused_and_comes_back(xml, word):
    sitting = Sitting(PASSCODE, {"forcePIN": True})
    sitting.page.type("p~u", xml)
    sitting.save()
    assert word in sitting.said[""], sitting.said
    assert sitting.page.value("p~u") == xml
    assert sitting.form.content == {"forcePIN": True}


def test_keys_that_nobody_described_are_counted_and_can_be_edited():
    sitting = Sitting(PASSCODE, {"forcePIN": True, "futureKey": [1], "other": {"x": b"1"}})
    assert "2 keys that Apple's schema does not describe" in sitting.page.html
    sitting.page.type("p~u", "<dict><key>futureKey</key><real>2</real></dict>")
    assert sitting.save().form.content == {"forcePIN": True, "futureKey": 2.0}


def test_common_keys_of_the_stored_payload_are_left_to_the_portal():
    content = {"PayloadUUID": "x", "PayloadType": PASSCODE, "forcePIN": True}
    assert Sitting(PASSCODE, content).save().form.content == {"forcePIN": True}


def test_a_key_named_twice_in_a_dictionary_of_free_keys_is_refused():
    sitting = Sitting("com.apple.webcontent-filter", {"FilterType": "Plugin"}).press("configure:p/VendorConfig")
    sitting.press("add:p/VendorConfig").type("VendorConfig/~r/0~k", "a").type("VendorConfig/~r/1~k", "a")
    sitting.type("VendorConfig/~r/0", "1").type("VendorConfig/~r/1", "2").type("VendorConfig/~r/1~t", "integer").save()
    assert sitting.said["VendorConfig.a"] == "is there twice: give one of them another name."
    assert sitting.page.value("p/VendorConfig/~r/1") == "2"
    sitting.type("VendorConfig/~r/1~k", "b").save()
    assert sitting.form.content["VendorConfig"] == {"a": "1", "b": 2}
    sitting.type("VendorConfig/~r/0~k", "").save()
    assert "needs a name" in sitting.said["VendorConfig"]


def test_what_a_condition_hides_is_neither_asked_for_nor_lost():
    content = {"UserDefinedName": "x", "VPNType": "L2TP", "IKEv2": {"RemoteAddress": "vpn.example.com"}}
    sitting = Sitting(VPN, content)
    assert "Only used when" in sitting.page.html
    assert sitting.page.value("p/IKEv2/RemoteAddress") == "vpn.example.com"
    assert sitting.save().form.content == content
    assert "p/IKEv2" not in Sitting(VPN, {"UserDefinedName": "x", "VPNType": "L2TP"}).page.ids


def test_a_section_that_becomes_needed_appears_when_the_form_is_asked_again():
    sitting = Sitting(VPN).type("VPNType", "IKEv2")
    data, files = sitting.page.post()
    data["_op"] = "refresh"
    assert "configure:p/IKEv2" in Page(str(sitting._form(data, files))).buttons


def test_the_filter_hides_keys_and_keeps_what_they_hold():
    sitting = Sitting(PASSCODE, {"minLength": 6})
    sitting.page.type("f-find", "pinhistory").type("f-set", "1")
    sitting.press("filter")
    assert "1 set, 1 of 13 shown" in sitting.page.html
    assert "f-only-set" in sitting.page.html
    assert sitting.save().form.content == {"minLength": 6}


def test_a_picker_offers_the_payloads_that_fit_and_keeps_a_uuid_that_dangles():
    uuid, lost = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
    references = [
        Reference("com.apple.security.scep", uuid, "Office identity"),
        Reference("com.apple.wifi.managed", lost, "Wi-Fi"),
    ]
    content = {
        "UserDefinedName": "x",
        "VPNType": "IKEv2",
        "IKEv2": {"PayloadCertificateUUID": lost, "AuthenticationMethod": "Certificate"},
    }
    sitting = Sitting(VPN, content, references=references)
    name = "p/IKEv2/PayloadCertificateUUID"
    assert sitting.page.options(name) == ["", uuid, lost]
    assert "no such payload in this bundle" in sitting.page.html
    assert sitting.save().form.content == content
    sitting.type(name[2:], uuid).save()
    assert sitting.form.content["IKEv2"]["PayloadCertificateUUID"] == uuid
    sitting.type(f"{name[2:]}~o", lost.lower()).save()
    assert sitting.form.content["IKEv2"]["PayloadCertificateUUID"] == lost.lower()


def test_a_home_screen_nests_as_deep_as_somebody_clicks_and_no_deeper_than_a_form_bears():
    facts = CATALOGUE.payloads["com.apple.homescreenlayout"]
    deep = {"Type": "Folder", "Pages": [[]]}
    for _ in range(60):
        deep = {"Type": "Folder", "Pages": [[deep]]}
    content = {"Pages": [[deep]]}
    form = PayloadForm(facts, catalogue=CATALOGUE, content=content)
    data, files = Page(str(form)).post()
    again = PayloadForm(facts, catalogue=CATALOGUE, content=content, data=data, files=files)
    again.is_valid()
    assert dumps(again.content, sort_keys=True) == dumps(content, sort_keys=True)


def test_counts_and_depths_that_no_browser_posts_cost_nothing():
    data = QueryDict(mutable=True)
    name = "p/Pages"
    for _ in range(400):
        data[f"{name}~n"] = "999999999999"
        data[f"{name}~d"] = "1"
        name += "/0"
    data["p/Pages~n"] = "5000"
    facts = CATALOGUE.payloads["com.apple.homescreenlayout"]
    form = PayloadForm(facts, catalogue=CATALOGUE, content={}, data=data)
    assert not form.is_valid()
    str(form)


def test_markup_in_values_keys_and_problems_stays_text():
    evil = '"><script>alert(1)</script>\n</textarea><script>'
    content = {"VendorConfig": {evil.replace("\n", ""): evil, "b": {evil: evil}}, "FilterType": evil, evil: evil}
    html = str(Sitting("com.apple.webcontent-filter", content).save().form)
    assert "<script" not in html
    assert html.count("</textarea>") == html.count("<textarea")


def test_a_key_that_stands_in_a_row_and_in_the_fragment_is_refused_and_quoted_as_text():
    sitting = Sitting("com.apple.webcontent-filter", {"VendorConfig": {"line\nend": 1, "<i>": 2}})
    sitting.type("VendorConfig~u", "<dict><key>&lt;i&gt;</key><true/></dict>").save()
    assert "also in the list above" in sitting.said["VendorConfig"]
    assert "“&lt;i&gt;”" in sitting.page.html
    assert "<i>" not in sitting.page.html


def test_a_printed_path_leads_to_the_field_it_names():
    content = {
        "UserDefinedName": "x",
        "VPNType": "IPSec",
        "IPSec": {"OnDemandEnabled": 1, "OnDemandRules": [{"Action": "Ignore"}]},
    }
    ids = Sitting(VPN, content).page.ids
    keys = CATALOGUE.payloads[VPN].keys
    assert anchor(keys, "IPSec.OnDemandRules[0].Action") == "p/IPSec/OnDemandRules/0/Action"
    for where in (
        "IPSec.OnDemandRules[0].Action",
        "IPSec.OnDemandRules[0]",
        "IPSec",
        "UserDefinedName",
        "futureKey[3].x",
        "",
    ):
        assert anchor(keys, where) in ids
    odd = CATALOGUE.payloads["com.apple.MCX(EnergySaver)"]
    assert anchor(odd.keys, "com.apple.EnergySaver.desktop.ACPower.Disk Sleep Timer") == (
        "p/com.apple.EnergySaver.desktop.ACPower/Disk~_Sleep~_Timer"
    )


def test_commands_and_declarations_use_the_same_form():
    command = CATALOGUE.commands["DeviceLock"]
    content = {"Message": "Lost", "PIN": "123456"}
    page = Page(str(build(command.keys, name="DeviceLock", catalogue=CATALOGUE, content=content)))
    data, files = page.post()
    assert (
        build(command.keys, name="DeviceLock", catalogue=CATALOGUE, content=None, data=data, files=files).content
        == content
    )
    for message in (*CATALOGUE.commands.values(), *CATALOGUE.declarations.values()):
        str(build(message.keys, name="x", catalogue=CATALOGUE, content=None))


def test_settings_of_several_kinds_stand_in_one_list():
    keys = CATALOGUE.commands["Settings"].keys
    content = {"Settings": [{"Item": "Bluetooth", "Enabled": True}, {"Item": "DeviceName", "DeviceName": "Ada's"}]}
    page = Page(str(build(keys, name="Settings", catalogue=CATALOGUE, content=content)))
    data, files = page.post(press="add:p/Settings~cWallpaper")
    form = build(keys, name="Settings", catalogue=CATALOGUE, content=content, data=data, files=files)
    assert form.content["Settings"][:2] == content["Settings"]
    assert "p/Settings/2/Image" in Page(str(form)).names


def test_a_type_that_apple_does_not_document_is_a_property_list():
    content = {"a": 1.0, "b": [b"x"], "c": ""}
    page = Page(str(RawForm(content=content)))
    data, files = page.post()
    form = RawForm(content=content, data=data, files=files)
    assert form.is_valid()
    assert dumps(form.content) == dumps(content)
    data["p~raw"] = "<dict><key>PayloadUUID</key><string>x</string><key>a</key><true/></dict>"
    assert RawForm(content={}, data=data).content == {"a": True}
    data["p~raw"] = "<dict><key>a</key><true/><key>a</key><true/></dict>"
    bad = RawForm(content={}, data=data)
    assert not bad.is_valid()
    assert "twice" in str(bad)
    assert Page(str(bad)).value("p~raw") == data["p~raw"]


def test_numbers_of_items_that_nobody_posted_make_no_page_of_them():
    data = QueryDict(mutable=True)
    data["p/Pages~n"] = "2000"
    for number in range(40):
        data[f"p/Pages/{number}~n"] = "2000"
    facts = CATALOGUE.payloads["com.apple.homescreenlayout"]
    form = PayloadForm(facts, catalogue=CATALOGUE, content={}, data=data)
    assert not form.is_valid()
    assert len(form.problems) < 500
    assert len(form.render()) < 1_000_000


def test_a_long_list_that_was_posted_arrives_whole():
    apps = [f"com.example.app{number}" for number in range(400)]
    sitting = Sitting("com.apple.applicationaccess", {"allowListedAppBundleIDs": apps}).save()
    assert sitting.form.content == {"allowListedAppBundleIDs": apps}
