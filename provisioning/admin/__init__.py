"""Admin pages of lineages, renewals, API keys and enterprise apps, and of where profiles stand on devices."""

from provisioning.admin.apps import AppVersionAdmin, EnterpriseAppAdmin
from provisioning.admin.keys import ApiKeyAdmin
from provisioning.admin.lineage import LineageAdmin
from provisioning.admin.records import (
    DeveloperTeamAdmin,
    LineageAssignmentAdmin,
    ListedProvisioningProfileAdmin,
    ProvisioningInstallationAdmin,
    ProvisioningProfileAdmin,
)
from provisioning.admin.renewal import RenewalAdmin

__all__ = [
    "ApiKeyAdmin",
    "AppVersionAdmin",
    "DeveloperTeamAdmin",
    "EnterpriseAppAdmin",
    "LineageAdmin",
    "LineageAssignmentAdmin",
    "ListedProvisioningProfileAdmin",
    "ProvisioningInstallationAdmin",
    "ProvisioningProfileAdmin",
    "RenewalAdmin",
]
