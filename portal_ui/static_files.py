"""Names of static files: with a hash of their content once `up` has collected and compressed them, plain before that.

A hashed name may be kept by browsers for ever, so a page costs its static files once; a test or a shell that never
collected anything works all the same.
"""

from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # has no types
    """`collectstatic` writes each file plain, hashed and compressed."""

    def stored_name(self, name: str) -> str:
        """The hashed name; the plain one for what was not collected."""
        try:
            return str(super().stored_name(name))
        except ValueError:
            return name
