"""The Content-Security-Policy of every page: what a browser may load, run, frame and post to.

The setting has the name and shape of Django 6's own (`SECURE_CSP`: directive to sources), whose middleware takes over
once it is there. Devices and files get no header: only documents that a browser renders do (CSP Level 3).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "Content-Security-Policy"
# An SVG opened by its own address is a document too.
_DOCUMENTS = ("text/html", "image/svg+xml")
Policy: TypeAlias = Mapping[str, Sequence[str]]


class ContentSecurityPolicyMiddleware:
    """Puts the header on documents that have none yet."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.policy = header_value(settings.SECURE_CSP)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        is_document = response.headers.get("Content-Type", "").startswith(_DOCUMENTS)
        # Django's own pages for developers have inline styles.
        is_debug_page = settings.DEBUG and response.status_code in {404, 500}
        if is_document and not is_debug_page:
            response.headers.setdefault(HEADER, self.policy)
        return response


def header_value(policy: Policy) -> str:
    """The header's text, directives in the order of the setting."""
    return "; ".join(" ".join([directive, *sources]) for directive, sources in policy.items())
