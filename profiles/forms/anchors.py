"""Where on a payload's page a finding belongs: the id of the field that a printed path names."""

from __future__ import annotations

from collections.abc import Sequence

from profiles.forms.nodes import escape_step, id_of
from profiles.forms.posted import ROOT
from protocol.schema import KeyFacts

__all__ = ["anchor"]


def anchor(keys: Sequence[KeyFacts], where: str) -> str:
    """The id for "OnDemandRules[0].Action" (`Problem.where`) in the form of these keys.

    Names may hold dots themselves, so the path is walked along the schema, as far as that knows it: an entry of a
    dictionary with free keys leads to the dictionary. The whole form where nothing is known.
    """
    name, rest = ROOT, where
    while rest:
        if rest.startswith("["):
            number, _, rest = rest[1:].partition("]")
            name, keys = f"{name}/{number}", keys[0].subkeys if keys else ()
        else:
            # The longest first: "a.b" before "a".
            fitting = [key for key in keys if rest == key.name or rest.startswith((f"{key.name}.", f"{key.name}["))]
            if not fitting:
                break
            key = max(fitting, key=lambda found: len(found.name))
            name, keys, rest = f"{name}/{escape_step(key.name)}", key.subkeys, rest[len(key.name) :]
        rest = rest.removeprefix(".")
    return "payload-form" if name == ROOT else id_of(name)
