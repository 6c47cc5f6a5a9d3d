"""Every key of every payload refuses what it cannot hold, at its own path; and the largest page stays small."""

import gzip
from datetime import UTC, datetime
from typing import Any

import pytest

from profiles.forms import PayloadForm
from profiles.forms.nodes import AnyValue, Array, Data, Dictionary, Node, Scalar
from profiles.forms.posted import ROOT
from profiles.forms.rendering import escape_step
from protocol.schema import KeyFacts, packaged
from tests.profiles.forms.page import Page

CATALOGUE = packaged()
FILLED: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "real": 1.0,
    "boolean": True,
    "data": b"data",
    "date": datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None),
    "any": "anything",
}


def filled(key: KeyFacts, depth: int = 0) -> Any:
    """A value with every key there is, down to where payloads begin to repeat themselves."""
    if key.type == "array":
        return [filled(key.subkeys[0], depth + 1)] if key.subkeys and depth < 8 else []
    if key.type == "dictionary":
        return {sub.name: filled(sub, depth + 1) for sub in key.subkeys} if depth < 8 else {}
    return FILLED[key.type]


def controls(node: Node, name: str, where: str) -> list[tuple[str, str, Scalar | Data | AnyValue]]:
    """Name, printed path and field of every single value of a form; secrets and XML left out."""
    match node:
        case Scalar() | Data() | AnyValue():
            return [(name, where, node)]
        case Array():
            return [one for i, item in enumerate(node.items) for one in controls(item, f"{name}/{i}", f"{where}[{i}]")]
        case Dictionary():
            found = []
            for key, child in node.children.items():
                found += controls(child, f"{name}/{escape_step(key)}", f"{where}.{key}" if where else key)
            for i, row in enumerate(node.rows):
                found += controls(row.value, f"{name}/~r/{i}", f"{where}.{row.key}" if where else row.key)
            return found
    return []


def bad(node: Scalar | Data | AnyValue) -> dict[str, str]:
    """What to post, by suffix, so that the key must refuse it."""
    facts = node.shape.facts
    if isinstance(node, AnyValue):
        return {"~t": "integer", "": "1.5"}
    if isinstance(node, Data):
        return {"~t": "base64", "": "%"}
    # The most first: a value below the least may be listed ("never").
    if facts.maximum is not None:
        return {"": str(facts.maximum + 1)}
    if facts.minimum is not None:
        return {"": str(facts.minimum - 1)}
    return {"": "no such thing" if facts.values or facts.type != "string" else "\x00"}


@pytest.mark.parametrize("variant", sorted(CATALOGUE.payloads))
def test_every_key_refuses_what_it_cannot_hold_and_gives_it_back(variant: str) -> None:
    facts = CATALOGUE.payloads[variant]
    content = {key.name: filled(key) for key in facts.keys}
    form = PayloadForm(facts, catalogue=CATALOGUE, content=content)
    data, files = Page(str(form)).post()
    wrong = {}
    for name, where, node in controls(form._root, ROOT, ""):
        for suffix, text in bad(node).items():
            data[name + suffix] = text
        wrong[where] = (name, bad(node)[""])
    again = PayloadForm(facts, catalogue=CATALOGUE, content=content, data=data, files=files)
    assert again.is_valid() is not bool(wrong)
    said = {problem.where: problem.sentence for problem in again.problems}
    assert set(wrong) - set(said) == set()
    assert all(sentence.endswith(".") for sentence in said.values())
    page = Page(str(again))
    for name, text in wrong.values():
        assert page.value(name) == text


def test_restrictions_stay_small_and_say_what_they_ask_of_devices() -> None:
    facts = CATALOGUE.payloads["com.apple.applicationaccess"]
    html = str(PayloadForm(facts, catalogue=CATALOGUE, content={"allowCamera": False}))
    # The page around it has 150 KB for all, and so do Apple's own help texts where they are loaded.
    assert len(gzip.compress(html.encode())) < 30_000
    assert len(html) < 250_000
    assert "supervised" in html
    assert "not in User Enrollment" in html
    assert len(Page(html).fields) > 180
