"""The overlay for what programs may do on a Mac: privacy permissions (PPPC, Apple's TCC) and system extensions."""

from collections.abc import Iterator

from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    Titles,
    error,
    inner,
    is_on,
    items,
    nested,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]

_SERVICES = {
    "Accessibility": ("Accessibility", "Control the Mac: read the screen, press keys, move the mouse."),
    "AddressBook": ("Contacts", ""),
    "AppleEvents": ("Automation (Apple events)", "Control another app, named in each entry."),
    "BluetoothAlways": ("Bluetooth", ""),
    "Calendar": ("Calendars", ""),
    "Camera": ("Camera", "Can be denied only, never given."),
    "FileProviderPresence": ("Presence in cloud folders", "Know when the user works with its files."),
    "ListenEvent": ("Input monitoring", "Read the keyboard. Can be denied, or left to standard users."),
    "MediaLibrary": ("Media library", "Apple Music and what was played."),
    "Microphone": ("Microphone", "Can be denied only, never given."),
    "Photos": ("Photos", ""),
    "PostEvent": ("Send events", "Press keys and move the mouse."),
    "Reminders": ("Reminders", ""),
    "ScreenCapture": ("Screen recording", "Can be denied, or left to standard users."),
    "SpeechRecognition": ("Speech recognition", ""),
    "SystemPolicyAllFiles": ("Full disk access", "All files, also of other users and of the system."),
    "SystemPolicyAppBundles": ("App management", "Update and delete other apps."),
    "SystemPolicyAppData": ("Data of other apps", ""),
    "SystemPolicyDesktopFolder": ("Desktop folder", ""),
    "SystemPolicyDocumentsFolder": ("Documents folder", ""),
    "SystemPolicyDownloadsFolder": ("Downloads folder", ""),
    "SystemPolicyNetworkVolumes": ("Network volumes", ""),
    "SystemPolicyRemovableVolumes": ("Removable volumes", ""),
    "SystemPolicySysAdminFiles": ("Files of system administration", ""),
}
# Apple lets no profile give these.
_DENIED_ONLY = ("Camera", "Microphone", "ListenEvent", "ScreenCapture")
_STANDARD_USER = "AllowStandardUserToSetSystemService"
_LEFT_TO_USERS = ("ListenEvent", "ScreenCapture")
_RECEIVER = ("AEReceiverIdentifier", "AEReceiverIdentifierType", "AEReceiverCodeRequirement")
_EXTENSION_TYPES = ("DriverExtension", "NetworkExtension", "EndpointSecurityExtension")


def _entries(content: Content) -> Iterator[tuple[str, int, Content]]:
    services = inner(content, "Services")
    for service in services:
        for number, entry in items(services, service):
            yield service, number, entry


def allowed_or_authorization(content: Content) -> Iterator[Judged]:
    """Apple wants one of the two: Authorization is the newer form of Allowed."""
    for service, number, entry in _entries(content):
        if "Allowed" in entry and "Authorization" in entry:
            yield error(
                "cannot stand beside Authorization: leave one of them out.", "Services", service, number, "Allowed"
            )


def some_permissions_can_only_be_denied(content: Content) -> Iterator[Judged]:
    """The Mac ignores a profile that gives them."""
    for service, number, entry in _entries(content):
        given = is_on(entry, "Allowed") or entry.get("Authorization") == "Allow"
        if service in _DENIED_ONLY and given:
            key = "Authorization" if "Authorization" in entry else "Allowed"
            yield error("cannot be given by a profile, only denied.", "Services", service, number, key)


def standard_users_decide_on_two_services(content: Content) -> Iterator[Judged]:
    """Apple offers it where an administrator would otherwise be asked."""
    for service, number, entry in _entries(content):
        if entry.get("Authorization") == _STANDARD_USER and service not in _LEFT_TO_USERS:
            yield error(
                "can be left to standard users for screen recording and input monitoring only.",
                "Services", service, number, "Authorization",
            )  # fmt: skip


def apple_events_name_their_receiver(content: Content) -> Iterator[Judged]:
    """An app controls one other app; elsewhere the keys say nothing."""
    for service, number, entry in _entries(content):
        for key in _RECEIVER:
            if service == "AppleEvents" and not entry.get(key):
                yield error("is required: the app that is controlled.", "Services", service, number, key)
            elif service != "AppleEvents" and key in entry:
                yield warning("counts only for automation.", "Services", service, number, key)


def a_team_is_named_once(content: Content) -> Iterator[Judged]:
    """All extensions of a team, or some: Apple refuses both."""
    teams = content.get("AllowedTeamIdentifiers")
    for team in inner(content, "AllowedSystemExtensions"):
        if isinstance(teams, list) and team in teams:
            yield error("is also among the teams with all extensions.", "AllowedSystemExtensions", team)


def extension_types_are_known(content: Content) -> Iterator[Judged]:
    """Apple lists three in words; its schema takes any text."""
    for team, kinds in inner(content, "AllowedSystemExtensionTypes").items():
        for number, kind in enumerate(kinds if isinstance(kinds, list) else []):
            if kind not in _EXTENSION_TYPES:
                named = ", ".join(_EXTENSION_TYPES)
                yield error(f"must be one of {named}.", "AllowedSystemExtensionTypes", team, number)


def removable_or_not(content: Content) -> Iterator[Judged]:
    """The same extension cannot be both."""
    fixed = inner(content, "NonRemovableSystemExtensions")
    for team, extensions in inner(content, "RemovableSystemExtensions").items():
        others = fixed.get(team)
        if isinstance(extensions, list) and isinstance(others, list) and any(name in others for name in extensions):
            yield error(
                "has an extension that is also among those that cannot be removed.", "RemovableSystemExtensions", team
            )


def _identity() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "Identifier": ("App", "Bundle ID, or the path of a program without one."),
            "CodeRequirement": ("Code requirement", "What “codesign -display -r -” prints after “designated =>”."),
            "StaticCode": ("Check the code on disk", "Only for programs that change their own code."),
            "Comment": ("Comment", "For you; the Mac does not read it."),
            "AEReceiverIdentifier": ("Controlled app", "Automation only: bundle ID or path."),
            "AEReceiverCodeRequirement": ("Controlled app's code requirement", "Automation only."),
        }
    )
    kinds: Titles = {"bundleID": "Bundle ID", "path": "Path"}
    keys["IdentifierType"] = KeyOverlay(title="Named by", values=kinds)
    keys["AEReceiverIdentifierType"] = KeyOverlay(
        title="Controlled app named by", help="Automation only.", values=kinds
    )
    keys["Authorization"] = KeyOverlay(
        title="Permission",
        help="From macOS 11 on.",
        values={"Allow": "Allow", "Deny": "Deny", _STANDARD_USER: "Let standard users decide"},
    )
    keys["Allowed"] = KeyOverlay(
        title="Allowed (older form)",
        help="Use this or Permission, never both.",
        # Apple's schema calls it required, but its words want only one of the two.
        shown_when=Condition("Authorization", (), unset=True),
    )
    return keys


def _permissions() -> dict[str, KeyOverlay]:
    keys = worded({f"Services.{service}": said for service, said in _SERVICES.items()})
    keys["Services"] = KeyOverlay(title="Permissions")
    for service, (title, _) in _SERVICES.items():
        keys[f"Services.{service}.IdentityDict"] = KeyOverlay(title=f"{title}: app")
        keys |= nested(f"Services.{service}.IdentityDict", _identity())
    return keys


_EXTENSIONS = worded({
    "AllowUserOverrides": ("Users may allow others", "Off: only what is named here."),
    "AllowedTeamIdentifiers": ("Teams with all extensions", "Team IDs of developers."),
    "AllowedTeamIdentifiers.AllowedTeamIdentifiersItem": "Team ID",
    "AllowedSystemExtensionTypes": ("Kinds by team", "Team ID, then DriverExtension, NetworkExtension or EndpointSecurityExtension."),
    "AllowedSystemExtensions": ("Extensions by team", "Team ID, then bundle IDs of extensions."),
    "RemovableSystemExtensions": ("Extensions that may remove themselves", "Team ID, then bundle IDs."),
    "NonRemovableSystemExtensions": ("Extensions that cannot be removed", "From macOS 15 on: team ID, then bundle IDs."),
    "NonRemovableFromUISystemExtensions": ("Extensions users cannot remove", "From macOS 15 on: team ID, then bundle IDs."),
})  # fmt: skip

_TCC = PayloadOverlay(
    groups=(Group("Permissions", ("Services",)),),
    keys=_permissions(),
    rules=(
        allowed_or_authorization,
        some_permissions_can_only_be_denied,
        standard_users_decide_on_two_services,
        apple_events_name_their_receiver,
    ),
)
_SYSTEM_EXTENSIONS = PayloadOverlay(
    groups=(
        Group("Allowed", (
            "AllowedSystemExtensions", "AllowedTeamIdentifiers", "AllowedSystemExtensionTypes", "AllowUserOverrides",
        )),
        Group("Removal", (
            "RemovableSystemExtensions", "NonRemovableSystemExtensions", "NonRemovableFromUISystemExtensions",
        )),
    ),
    keys=_EXTENSIONS,
    rules=(a_team_is_named_once, extension_types_are_known, removable_or_not),
)  # fmt: skip

OVERLAYS = {
    "com.apple.TCC.configuration-profile-policy": _TCC,
    "com.apple.system-extension-policy": _SYSTEM_EXTENSIONS,
}
