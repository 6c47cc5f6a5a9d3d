"""Pieces of an XML property list as people read and write them: what has no field of its own in a form.

Reading is stricter than `protocol.plist`: what its parser would drop without a word (a key given twice, a second
value, loose text) is refused here, since somebody has typed it.
"""

from __future__ import annotations

from xml.parsers import expat

from profiles.forms.texts import TextError
from protocol.errors import PlistError, PlistTooDeepError
from protocol.plist import PlistValue, dumps, loads

__all__ = ["fragment_of", "read_fragment"]

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n'
_OPEN, _CLOSE = '<plist version="1.0">\n', "\n</plist>"
_CONTAINERS = frozenset({"plist", "dict", "array"})


def fragment_of(value: PlistValue) -> str:
    """The XML of a value, without the document around it. Raises PlistError where it cannot be written."""
    text = dumps(value).decode("utf-8")
    return text[text.index(_OPEN) + len(_OPEN) : text.rindex(_CLOSE)]


def read_fragment(text: str) -> PlistValue:
    """The value that a fragment or a whole XML document holds. Raises TextError."""
    text = text.strip()
    document = text if text.startswith(("<?xml", "<!DOCTYPE", "<plist")) else f"{_HEAD}{text}{_CLOSE}"
    try:
        data = document.encode("utf-8")
        value = loads(data)
        _Reader().read(data)
    except PlistTooDeepError as error:
        raise TextError(f"cannot be read: {error}.") from None
    except (PlistError, UnicodeEncodeError):
        raise TextError(
            "must be XML of a property list, such as <string>text</string> or <dict><key>name</key><true/></dict>."
        ) from None
    except expat.ExpatError:
        raise TextError("must be well-formed XML.") from None
    return value


class _Reader:
    """A second look at a document that was read already: did all of it arrive?"""

    def __init__(self) -> None:
        # For each open element its name, the keys it has had and how many values.
        self._open: list[tuple[str, set[str], list[None]]] = []
        self._text: list[str] = []

    def read(self, data: bytes) -> None:
        """Raises TextError."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(data, True)  # noqa: FBT003 (expat takes no keywords)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._text = []
        if self._open and self._open[-1][0] == "plist":
            self._open[-1][2].append(None)
            if len(self._open[-1][2]) > 1:
                raise TextError("must be one value: put several into a <dict> or an <array>.")
        self._open.append((name, set(), []))

    def _end(self, name: str) -> None:
        self._open.pop()
        if name != "key" or not self._open:
            return
        key, seen = "".join(self._text), self._open[-1][1]
        if key in seen:
            raise TextError("has a key twice: remove one of them.")
        seen.add(key)

    def _characters(self, text: str) -> None:
        self._text.append(text)
        if self._open and self._open[-1][0] in _CONTAINERS and text.strip():
            raise TextError("has text between its elements: write <string>text</string>.")
