"""Files and secrets of a form that comes back: kept elsewhere meanwhile, under a token that the page carries.

Small data needs none of this: it travels as text.
"""

from __future__ import annotations

from collections.abc import Callable

from profiles.errors import SecretError
from profiles.forms.nodes import Array, Data, Dictionary, Node, Secret

__all__ = ["keep"]

_NOT_KEPT = "is too large to be kept meanwhile: give it again when everything else is right."


def keep(node: Node, hold: Callable[[bytes, str], str]) -> None:
    """Hold what was given below a node and is held nowhere yet; what cannot be held says so at its field."""
    if isinstance(node, Array):
        for item in node.items:
            keep(item, hold)
    elif isinstance(node, Dictionary):
        for child in (*node.children.values(), *(row.value for row in node.rows)):
            keep(child, hold)
    elif isinstance(node, Data) and node.value is not None and node.file_name and not node.token:
        try:
            node.token = hold(node.value, node.file_name)
        except SecretError:
            node.value, node.problem = None, _NOT_KEPT
    elif isinstance(node, Secret) and node.typed is not None and not node.choice.startswith("held:"):
        try:
            node.choice = f"held:{hold(node.typed, '')}"
        except SecretError:
            node.typed, node.problem = None, _NOT_KEPT
