"""The WSGI door. It cuts the environment to what the standard names before Django sees it.

granian adds the whole process environment, which holds the configured secrets; Django's error report and any
code that prints request.META would show them.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdmportal.settings")

CGI = frozenset({
    "AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING",
    "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "REQUEST_METHOD", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT",
    "SERVER_PROTOCOL", "SERVER_SOFTWARE",
})  # fmt: skip


class CutEnvironment:
    """Wraps a WSGI application; passes on CGI, HTTP_* and wsgi.* keys only (PEP 3333, RFC 3875).

    A variable of the process itself that is named like a header (HTTP_PROXY may hold a password) is no header.
    """

    def __init__(self, application: WSGIApplication, process: Mapping[str, str] = os.environ) -> None:
        self.application = application
        self.ours = {(key, value) for key, value in process.items() if key.startswith(("HTTP_", "wsgi."))}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        kept = {key: value for key, value in environ.items() if key in CGI or key.startswith(("HTTP_", "wsgi."))}
        for key, value in self.ours:
            if kept.get(key) == value:
                del kept[key]
        return self.application(kept, start_response)


application = CutEnvironment(get_wsgi_application())
