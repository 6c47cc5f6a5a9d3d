"""Differences and merges of drafts: every key is told, no secret is, and nobody's change is lost."""

from dataclasses import replace

import pytest

from profiles.differences import differences
from profiles.drafts import Draft, DraftPayload
from profiles.keytable import MASK, leaves
from profiles.merging import merge
from profiles.variables import placeholder
from protocol.schema import packaged

PASSCODE, VPN = "com.apple.mobiledevice.passwordpolicy", "com.apple.vpn.managed"


def one(payload_type=PASSCODE, *, identifier="p.1", name="Passcode", role="requirement", **content):
    facts = packaged().match(payload_type, content)
    return DraftPayload(
        identifier=identifier,
        uuid=f"UUID-{identifier}",
        payload_type=payload_type,
        variant=facts.variant if facts else "",
        role=role,
        name=name,
        content=content,
    )


def draft(*payloads, **settings):
    return Draft({"name": "Office", "silent_days": 14, **settings}, payloads)


def told(old, new):
    return [(change.kind, change.path, change.old, change.new) for change in differences(old, new)]


def test_an_unchanged_draft_has_no_differences():
    assert differences(draft(one(minLength=6)), draft(one(minLength=6))) == []


def test_changed_added_and_removed_keys_are_told_with_their_titles():
    old, new = draft(one(minLength=6, forcePIN=True)), draft(one(minLength=8, maxInactivity=5))
    assert told(old, new) == [
        ("changed", "minLength", "6", "8"),
        ("added", "maxInactivity", None, "5"),
        ("removed", "forcePIN", "true", None),
    ]
    assert all(change.title and change.title != change.path for change in differences(old, new))


def test_values_are_told_as_the_form_calls_them():
    def vpn(**content):
        return draft(one(VPN, VPNType="IKEv2", IKEv2=content))

    old = vpn(AuthenticationMethod="None", EnablePFS=0, RemoteAddress="vpn.example.com", MTU=1400)
    new = vpn(AuthenticationMethod="Certificate", EnablePFS=1, RemoteAddress="vpn2.example.com", MTU=1300)
    told = {change.path.removeprefix("IKEv2."): change for change in differences(old, new)}
    assert (told["EnablePFS"].old_meaning, told["EnablePFS"].new_meaning) == ("No", "Yes")
    assert (told["EnablePFS"].old, told["EnablePFS"].new) == ("0", "1")
    assert told["AuthenticationMethod"].old_meaning not in {"", "None"}
    for plain in ("RemoteAddress", "MTU"):
        assert (told[plain].old_meaning, told[plain].new_meaning) == ("", "")
    [switch] = differences(draft(one(forcePIN=True)), draft(one(forcePIN=False)))
    assert (switch.old_meaning, switch.new) == ("", "false")


def test_each_value_of_a_list_is_told_as_the_form_calls_it():
    [leaf] = leaves(
        "com.apple.wifi.managed", {"EAPClientConfiguration": {"AcceptEAPTypes": [13, 25]}}, catalogue=packaged()
    )
    assert leaf.text == "13, 25"
    assert len(leaf.meaning.split(", ")) == 2
    assert "13" not in leaf.meaning


@pytest.mark.parametrize("value", [True, 1.0, 1.5, "x", b"x", [], {}, [{}]])
def test_a_value_of_another_type_than_apples_has_no_words(value):
    for leaf in leaves("com.apple.vpn.managed", {"IKEv2": {"EnablePFS": value}}, catalogue=packaged()):
        assert leaf.meaning == ""
        assert leaf.sentence == leaf.text


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (True, 1.0), ("1", 1), (b"1", "1")])
def test_values_of_different_types_are_different(old, new):
    assert len(differences(draft(one(minLength=old)), draft(one(minLength=new)))) == 1


def test_the_order_of_keys_is_no_difference():
    assert differences(draft(one(a=1, b={"c": 1, "d": 2})), draft(one(b={"d": 2, "c": 1}, a=1))) == []


def test_nested_keys_are_told_by_their_path():
    old = draft(one(VPN, IKEv2={"OnDemandRules": [{"Action": "Connect"}], "RemoteAddress": "vpn.example.com"}))
    new = draft(one(VPN, IKEv2={"OnDemandRules": [{"Action": "Ignore"}], "RemoteAddress": "vpn.example.com"}))
    assert told(old, new) == [("changed", "IKEv2.OnDemandRules[0].Action", "Connect", "Ignore")]


def test_a_payload_that_comes_or_goes_is_told_with_its_keys():
    with_vpn = draft(one(), one(VPN, identifier="p.2", name="VPN", UserDefinedName="Office"))
    assert told(draft(one()), with_vpn) == [("added", "", None, "1 key"), ("added", "UserDefinedName", None, "Office")]
    assert told(with_vpn, draft(one()))[0] == ("removed", "", "1 key", None)


def test_settings_roles_and_order_are_told():
    first, second = one(), one(VPN, identifier="p.2", name="VPN", role="capability")
    changes = told(draft(first, second), draft(second, replace(first, role="neutral"), silent_days=3))
    assert ("changed", "silent_days", "14", "3") in changes
    assert ("changed", "role", "Requirement", "Neutral") in changes
    assert ("changed", "order", "Passcode, VPN", "VPN, Passcode") in changes


def test_without_an_older_draft_everything_is_added():
    assert {change.kind for change in differences(None, draft(one(minLength=6)))} == {"added"}


SECRETS = [
    {"VPNType": "IKEv2", "IKEv2": {"SharedSecret": "hunter2"}},
    {"IKEv2": {"SharedSecret": "hunter2"}, "VPNType": "IKEv2", "VendorConfig": {"Token": "hunter2"}},
]


@pytest.mark.parametrize("content", SECRETS)
def test_a_secret_is_never_told(content):
    old, new = draft(one(VPN, **content)), draft(one(VPN))
    for changes in (differences(old, new), differences(new, old), differences(None, old)):
        assert "hunter2" not in repr(changes)
        assert MASK in repr(changes)


def test_a_changed_secret_is_told_without_its_values():
    old, new = (draft(one(VPN, IKEv2={"SharedSecret": value})) for value in ("hunter2", "hunter3"))
    assert told(old, new) == [("changed", "IKEv2.SharedSecret", MASK, f"{MASK} (another value)")]


def test_the_name_of_a_stored_secret_is_told():
    named = placeholder("secret.office")
    [leaf] = leaves(one(VPN).variant, {"IKEv2": {"SharedSecret": named}}, catalogue=packaged())
    assert leaf.text == named
    [leaf] = leaves(one(VPN).variant, {"IKEv2": {"SharedSecret": f"x{named}"}}, catalogue=packaged())
    assert leaf.text == MASK


def test_keys_of_an_undocumented_type_that_sound_secret_are_masked():
    content = {"Server": "a.example.com", "ApiToken": "hunter2", "Deep": [{"password": "hunter2"}]}
    found = {leaf.path: leaf.text for leaf in leaves("", content, catalogue=packaged())}
    assert found == {"Server": "a.example.com", "ApiToken": MASK, "Deep[0].password": MASK}


def test_changes_of_different_keys_merge_without_a_question():
    base = draft(one(minLength=6, forcePIN=True, Deep={"a": 1, "b": 1}))
    mine = draft(one(minLength=8, forcePIN=True, Deep={"a": 2, "b": 1}), silent_days=3)
    theirs = draft(one(minLength=6, maxInactivity=5, Deep={"a": 1, "b": 2}), name="Other")
    merged = merge(base, mine, theirs)
    assert merged.conflicts == []
    assert merged.draft.settings == {"name": "Other", "silent_days": 3}
    assert merged.draft.payloads[0].content == {"minLength": 8, "maxInactivity": 5, "Deep": {"a": 2, "b": 2}}


def test_a_key_that_both_changed_is_a_conflict_that_a_person_decides():
    base, mine, theirs = (draft(one(minLength=length)) for length in (6, 8, 10))
    [conflict] = merge(base, mine, theirs).conflicts
    assert (conflict.path, conflict.mine, conflict.theirs) == ("minLength", "8", "10")
    assert merge(base, mine, theirs).draft == mine
    assert merge(base, mine, theirs, choices={conflict.key: "theirs"}).draft == theirs


def test_both_removing_or_both_making_the_same_change_is_no_conflict():
    base, both = draft(one(minLength=6, forcePIN=True)), draft(one(minLength=8))
    assert merge(base, both, both) == merge(base, both, base)
    assert merge(base, both, both).conflicts == []


def test_a_payload_added_by_each_is_kept():
    mine = draft(one(), one(VPN, identifier="p.2", name="Mine"))
    theirs = draft(one(), one(VPN, identifier="p.3", name="Theirs"))
    merged = merge(draft(one()), mine, theirs)
    assert {payload.name for payload in merged.draft.payloads} == {"Passcode", "Mine", "Theirs"}


def test_a_payload_removed_by_one_goes_unless_the_other_changed_it():
    base = draft(one(minLength=6), one(VPN, identifier="p.2", name="VPN"))
    without = draft(base.payloads[1])
    assert merge(base, without, base).draft == without
    changed = draft(one(minLength=8), base.payloads[1])
    [conflict] = merge(base, without, changed).conflicts
    assert merge(base, without, changed).draft.payloads == without.payloads
    kept = merge(base, without, changed, choices={conflict.key: "theirs"})
    assert {payload.identifier for payload in kept.draft.payloads} == {"p.1", "p.2"}


def test_a_conflict_shows_no_secret():
    base, mine, theirs = (draft(one(VPN, IKEv2={"SharedSecret": value})) for value in ("one-1", "two-2", "three-3"))
    [conflict] = merge(base, mine, theirs).conflicts
    assert (conflict.mine, conflict.theirs) == (MASK, MASK)
    assert conflict.title == "Shared secret"


def test_an_order_that_one_changed_is_kept():
    first, second = one(), one(VPN, identifier="p.2", name="VPN")
    base, swapped = draft(first, second), draft(second, first)
    assert merge(base, swapped, base).draft == swapped
    assert merge(base, base, swapped).draft == swapped
