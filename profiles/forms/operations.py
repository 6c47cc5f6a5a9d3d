"""What the buttons of a form do: add, configure, remove and move, as a function over the tree of fields.

Each is a submit button ("add:p/IKEv2/OnDemandRules"), so it works without JavaScript; the form just comes back.
An operation on something that is not there does nothing: the form may be older than the payload.
"""

from __future__ import annotations

from profiles.forms.nodes import DEEPEST, Array, Dictionary, Fragment, Node, Row, blank, unescape_step

__all__ = ["apply"]


def apply(root: Dictionary, operation: str) -> None:
    """Change the tree as a button's value says; anything that is no operation on a place in the tree changes nothing."""
    verb, _, target = operation.partition(":")
    target, _, kind = target.partition("~c")
    steps = target.split("/")[1:]
    if verb == "configure":
        _replace(root, steps, present=True)
    elif verb == "add":
        _add(_find(root, steps), kind=kind, depth=len(steps))
    elif verb == "remove":
        _remove(root, steps)
    elif verb in {"up", "down"}:
        _move(root, steps, by=-1 if verb == "up" else 1)


def _find(node: Node | None, steps: list[str]) -> Node | None:
    for number, step in enumerate(steps):
        if isinstance(node, Array):
            node = node.items[int(step)] if _is_place(step, len(node.items)) else None
        elif isinstance(node, Dictionary) and step == "~r":
            place = steps[number + 1] if number + 1 < len(steps) else ""
            found = node.rows[int(place)].value if _is_place(place, len(node.rows)) else None
            return _find(found, steps[number + 2 :])
        elif isinstance(node, Dictionary):
            node = node.children.get(unescape_step(step))
        else:
            return None
    return node


def _is_place(step: str, length: int) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 6 and int(step) < length


def _replace(root: Dictionary, steps: list[str], *, present: bool) -> None:
    """Put a blank field where one stands."""
    node = _find(root, steps)
    parent, last = _parent(root, steps)
    if node is None or parent is None:
        return
    fresh = blank(node.shape, present=present and len(steps) < DEEPEST, depth=len(steps))
    if isinstance(parent, Array):
        parent.items[int(last)] = fresh
    elif len(steps) > 1 and steps[-2] == "~r":
        parent.rows[int(last)].value = fresh
    else:
        parent.children[unescape_step(last)] = fresh


def _add(node: Node | None, *, kind: str, depth: int) -> None:
    if isinstance(node, Array):
        node.present = True
        node.items.append(blank(node.shape.kind(unescape_step(kind)), present=True, depth=depth + 1))
    elif isinstance(node, Dictionary) and node.shape.free is not None:
        node.present = True
        node.rows.append(Row("", blank(node.shape.free, present=True, depth=depth + 1)))


def _remove(root: Dictionary, steps: list[str]) -> None:
    parent, last = _parent(root, steps)
    if isinstance(parent, Array):
        if _is_place(last, len(parent.items)):
            del parent.items[int(last)]
    elif parent is not None and len(steps) > 1 and steps[-2] == "~r":
        if _is_place(last, len(parent.rows)):
            del parent.rows[int(last)]
    elif isinstance(_find(root, steps), Dictionary | Array | Fragment):
        _replace(root, steps, present=False)


def _move(root: Dictionary, steps: list[str], *, by: int) -> None:
    parent, last = _parent(root, steps)
    if isinstance(parent, Array) and _is_place(last, len(parent.items)):
        here, there = int(last), int(last) + by
        if 0 <= there < len(parent.items):
            parent.items[here], parent.items[there] = parent.items[there], parent.items[here]


def _parent(root: Dictionary, steps: list[str]) -> tuple[Array | Dictionary | None, str]:
    if not steps:
        return None, ""
    above = steps[:-2] if len(steps) > 1 and steps[-2] == "~r" else steps[:-1]
    parent = _find(root, above)
    return (parent if isinstance(parent, Array | Dictionary) else None), steps[-1]
