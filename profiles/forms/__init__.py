"""Forms made from Apple's schema: a payload, a command's parameters or a declaration as HTML, and back as a plist.

Rendered on the server and complete without JavaScript. No models: what is stored, and where files wait while a form
comes back, is said by the caller.
"""

from profiles.forms.anchors import anchor
from profiles.forms.controls import Reference, StoredSecret
from profiles.forms.payload_form import PayloadForm, SchemaForm, build
from profiles.forms.raw_form import RawForm

__all__ = ["PayloadForm", "RawForm", "Reference", "SchemaForm", "StoredSecret", "anchor", "build"]
