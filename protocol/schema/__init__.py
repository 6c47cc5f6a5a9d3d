"""Apple's schema of commands, check-in messages, payloads and declarations as facts: who may get what, with which keys.

`packaged()` is the release in facts.json, which `python -m protocol.schema.compile` makes from Apple's YAML files
(github.com/apple/device-management, MIT licence). It says what Apple documents, so a key or command missing here may
only be newer.
"""

from __future__ import annotations

from protocol.schema.checking import Problem, check, check_keys, check_payload, check_value, has_variable
from protocol.schema.facts import (
    PLATFORMS,
    Catalogue,
    CommandFacts,
    DeclarationFacts,
    KeyFacts,
    PayloadFacts,
    PlatformFacts,
    checkins,
    commands,
    packaged,
)

__all__ = [
    "PLATFORMS",
    "Catalogue",
    "CommandFacts",
    "DeclarationFacts",
    "KeyFacts",
    "PayloadFacts",
    "PlatformFacts",
    "Problem",
    "check",
    "check_keys",
    "check_payload",
    "check_value",
    "checkins",
    "commands",
    "has_variable",
    "packaged",
]
