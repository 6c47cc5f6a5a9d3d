"""Apple's schema of commands and check-in messages as facts: who may get what, with which keys.

Read from facts.json, which `python -m protocol.schema.compile` makes from
Apple's YAML files (github.com/apple/device-management, MIT licence). It says
what Apple documents, so a key or command missing here may only be newer.
"""

from __future__ import annotations

from protocol.schema.checking import check
from protocol.schema.facts import PLATFORMS, CommandFacts, KeyFacts, PlatformFacts, checkins, commands

__all__ = ["PLATFORMS", "CommandFacts", "KeyFacts", "PlatformFacts", "check", "checkins", "commands"]
