"""Values that hypothesis puts into messages, and the writing of them as a device might."""

from __future__ import annotations

import plistlib

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
VALUES = (
    TEXT | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.binary(max_size=20) | st.builds(list) | st.builds(dict)
)


def encoded(message):
    """XML and binary forms of one message."""
    return [plistlib.dumps(message, fmt=fmt) for fmt in (plistlib.FMT_XML, plistlib.FMT_BINARY)]
