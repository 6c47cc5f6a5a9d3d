"""Random payloads that Apple's schema allows, and that make life hard for a form."""

from typing import Any

from hypothesis import strategies as st

from protocol.schema import KeyFacts

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
    | st.sampled_from("\n\t\r\"'<>&; {}~/."),
    max_size=12,
)
LONG = st.sampled_from(["x" * 150, "two\nlines", "\nfirst", "a & b <c> \"d\" 'e'", " spaces ", "{{ device.udid }}", ""])
NAMES = st.text(st.sampled_from("abcdeXYZ./~ <>&\"'éü日 _-"), max_size=9) | st.just("line\nend")
DATES = st.datetimes().map(lambda d: d.replace(microsecond=0))
INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 300)
REALS = st.floats(allow_nan=False, allow_infinity=False)
DATA = st.binary(max_size=20) | st.sampled_from(
    [b"PEM text\n", b"x\r\ny", b"\x00" * 5000, b"y" * 5000, b"", b"\xef\xbb\xbfbom"]
)
SCALARS = TEXT | LONG | INTEGERS | REALS | st.booleans() | DATA | DATES
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


@st.composite
def contents(
    draw: Any, keys: tuple[KeyFacts, ...], depth: int = 0, taken: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A dictionary with what is required, some of what is optional, and keys that nobody described."""
    named = [key for key in keys if key.name != "ANY"]
    optional = [key for key in named if not key.required]
    most = 5 if depth == 0 else 2 if depth < 5 else 0
    chosen = draw(st.lists(st.sampled_from(optional), max_size=most, unique_by=id)) if optional and most else []
    found = {key.name: draw(value(key, depth)) for key in (*(key for key in named if key.required), *chosen)}
    other = next((key for key in keys if key.name == "ANY"), None)
    entries = value(other, depth) if other else ANY
    if depth < 5:
        for name, entry in draw(st.dictionaries(NAMES, entries, max_size=2)).items():
            if name not in found and name not in taken and name not in {key.name for key in named}:
                found[name] = entry
    return found


def value(key: KeyFacts, depth: int) -> st.SearchStrategy[Any]:
    """Anything a key may hold."""
    if key.values:
        # A few list a 0 ("never") beside a range.
        return (
            st.sampled_from(key.values) | st.integers(key.minimum, key.maximum)
            if _bounded(key)
            else st.sampled_from(key.values)
        )
    if key.pattern:
        return st.from_regex(key.pattern, fullmatch=True).filter(lambda text: text.isprintable())
    match key.type:
        case "string":
            return TEXT | LONG
        case "integer":
            return st.integers(key.minimum, key.maximum) if _bounded(key) else INTEGERS
        case "real":
            if key.minimum is not None:
                return st.floats(key.minimum, key.maximum) | st.integers(int(key.minimum), int(key.maximum))
            return REALS | INTEGERS
        case "boolean":
            return st.booleans()
        case "data":
            return DATA
        case "date":
            return DATES
        case "any":
            return ANY
        case "array":
            return _array(key, depth)
    return contents(key.subkeys, depth + 1)


def _array(key: KeyFacts, depth: int) -> st.SearchStrategy[Any]:
    item = key.item
    if item is None:
        return st.lists(ANY, max_size=2)
    least = item.min_items or 0
    most = min(item.max_items or 3, 3 if depth < 4 else 1)
    return st.lists(value(item, depth + 1), min_size=least, max_size=max(least, most))


def _bounded(key: KeyFacts) -> bool:
    return key.minimum is not None or key.maximum is not None
