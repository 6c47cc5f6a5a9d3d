"""Tables of the provisioning app, one module a theme; everything is imported from here."""

from provisioning.models.apps import AppBundle, AppVersion, EnterpriseApp
from provisioning.models.lineage import (
    ApiKey,
    DeveloperTeam,
    KeyState,
    Lineage,
    LineageAssignment,
    Policy,
    Program,
    ProvisioningProfile,
    Source,
)
from provisioning.models.renewal import FINAL_STATES, ROLLING_STATES, Renewal, RenewalEvent, RenewalState
from provisioning.models.rollout import ListedProvisioningProfile, ProvisioningInstallation

__all__ = [
    "FINAL_STATES",
    "ROLLING_STATES",
    "ApiKey",
    "AppBundle",
    "AppVersion",
    "DeveloperTeam",
    "EnterpriseApp",
    "KeyState",
    "Lineage",
    "LineageAssignment",
    "ListedProvisioningProfile",
    "Policy",
    "Program",
    "ProvisioningInstallation",
    "ProvisioningProfile",
    "Renewal",
    "RenewalEvent",
    "RenewalState",
    "Source",
]
