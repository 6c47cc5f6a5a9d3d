"""Admin pages of bundles (composed by people), of what publishing made of them, and of where that stands."""

from profiles.admin.bundle import BundleAdmin
from profiles.admin.delivery import AssignmentAdmin, InstallationAdmin
from profiles.admin.revision import ProfileAdmin, RevisionAdmin
from profiles.admin.schema_release import SchemaReleaseAdmin
from profiles.admin.secret import SecretAdmin

__all__ = [
    "AssignmentAdmin",
    "BundleAdmin",
    "InstallationAdmin",
    "ProfileAdmin",
    "RevisionAdmin",
    "SchemaReleaseAdmin",
    "SecretAdmin",
]
