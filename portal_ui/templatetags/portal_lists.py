"""Django's result list with a label on every cell, so that CSS can make a row a card on a phone."""

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_list
from django.utils.html import conditional_escape, format_html, strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst

register = template.Library()


@register.inclusion_tag("admin/change_list_results.html")
def portal_results(cl: Any) -> dict[str, Any]:
    """Django's own list and template; each `td` has its column's name in `data-label`."""
    context: dict[str, Any] = result_list(cl)
    labels = [capfirst(strip_tags(str(header["text"])).strip()) for header in context["result_headers"]]
    for row in context["results"]:
        row[:] = [_labelled(cell, label) for cell, label in zip(row, labels, strict=True)]
    return context


def _labelled(cell: str, label: str) -> SafeString:
    cell = conditional_escape(cell)
    opening = str(cell[:3])
    if opening not in {"<td", "<th"} or "action-checkbox" in cell[:40]:
        return cell
    # The rest is Django's own, escaped already.
    return format_html("{}", SafeString(opening)) + format_html(' data-label="{}"', label) + SafeString(cell[3:])
