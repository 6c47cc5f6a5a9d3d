"""The overlay for a Mac's security: FileVault with its recovery keys, firewall, login window, software update."""

from collections.abc import Iterator

from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    error,
    is_on,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]


def filevault_knows_who_turns_it_on(content: Content) -> Iterator[Judged]:
    """Sent by a portal there is no user before it: either at the next login, or with an account."""
    if content.get("Enable") != "On" or is_on(content, "Defer") or is_on(content, "ForceEnableInSetupAssistant"):
        return
    if not content.get("Username") or not (content.get("Password") or is_on(content, "UserEntersMissingInfo")):
        yield error("must be on, unless a user and password are given here.", "Defer")


def filevault_keeps_a_recovery_key(content: Content) -> Iterator[Judged]:
    """Without any, a forgotten password loses the disk."""
    if content.get("Enable") != "On" or is_on(content, "UseRecoveryKey", default=True) or is_on(content, "UseKeychain"):
        return
    if not content.get("Certificate") and not content.get("PayloadCertificateUUID"):
        yield error(
            "is off, and no other recovery key is given: a forgotten password loses the disk.", "UseRecoveryKey"
        )


def filevault_may_not_be_forbidden_both_ways(content: Content) -> Iterator[Judged]:
    """Each alone is sensible, both freeze whatever state the Mac is in."""
    if is_on(content, "dontAllowFDEDisable") and is_on(content, "dontAllowFDEEnable"):
        yield warning("together with its opposite freezes FileVault as it is now.", "dontAllowFDEEnable")


def an_open_firewall_ignores_its_options(content: Content) -> Iterator[Judged]:
    """They count only while it is on."""
    if is_on(content, "EnableFirewall"):
        return
    for key in ("BlockAllIncoming", "EnableStealthMode", "Applications"):
        if content.get(key):
            yield warning("has no effect while the firewall is off.", key)


def blocking_all_ignores_apps(content: Content) -> Iterator[Judged]:
    """The list of apps is not looked at then; remote management still gets through."""
    if is_on(content, "BlockAllIncoming") and content.get("Applications"):
        yield warning("is not looked at while all incoming connections are blocked.", "Applications")


def automatic_login_is_complete(content: Content) -> Iterator[Judged]:
    """A Mac that logs in by itself protects nothing, and FileVault prevents it."""
    for key, other in (("AutologinUsername", "AutologinPassword"), ("AutologinPassword", "AutologinUsername")):
        if content.get(key) and not content.get(other):
            yield error("is required for automatic login.", other)
    if content.get("AutologinUsername") and content.get("AutologinPassword"):
        yield warning("opens the Mac to anybody who starts it.", "AutologinUsername")


def nobody_is_allowed_and_denied(content: Content) -> Iterator[Judged]:
    """The deny list wins."""
    allowed, denied = content.get("AllowList"), content.get("DenyList")
    if isinstance(allowed, list) and isinstance(denied, list) and any(entry in denied for entry in allowed):
        yield warning("names somebody who is also denied, and denied wins.", "AllowList")


def updates_are_looked_for(content: Content) -> Iterator[Judged]:
    """What is never looked for is never installed."""
    if is_on(content, "AutomaticCheckEnabled", default=True):
        return
    for key in ("AutomaticDownload", "AutomaticallyInstallMacOSUpdates", "CriticalUpdateInstall", "ConfigDataInstall"):
        if is_on(content, key):
            yield warning("has no effect while the Mac does not look for updates.", key)


def security_updates_stay_on(content: Content) -> Iterator[Judged]:
    """These are the ones that close holes in use."""
    for key in ("CriticalUpdateInstall", "ConfigDataInstall"):
        if not is_on(content, key, default=True):
            yield warning("is off: the Mac misses security updates.", key)


def _filevault() -> dict[str, KeyOverlay]:
    keys = worded({
        "Defer": ("At the next login or log-out", "The user is asked then. Needed when the portal installs this."),
        "DeferForceAtUserLoginMaxBypassAttempts": ("Times the user may put it off", "0 insists at once, -1 never does."),
        "DeferDontAskAtUserLogout": "Do not ask at log-out",
        "ForceEnableInSetupAssistant": ("Turn on in Setup Assistant", "For Macs that come by Automated Device Enrollment."),
        "UseRecoveryKey": ("Personal recovery key", "One for each Mac. Escrow it with its own payload."),
        "ShowRecoveryKey": ("Show the key to the user", "Not needed where it is escrowed."),
        "OutputPath": "Where the key is written to",
        "PayloadCertificateUUID": ("Institutional key", "A certificate of this bundle. Not on Macs with Apple silicon."),
        "Certificate": ("Institutional key as a file", "DER form. Not on Macs with Apple silicon."),
        "UseKeychain": "Institutional key from FileVaultMaster.keychain",
        "Username": "User",
        "Password": "User's password",
        "UserEntersMissingInfo": "Ask for what is missing",
    })  # fmt: skip
    keys["Enable"] = KeyOverlay(title="FileVault", values={"On": "On", "Off": "Off"})
    keys = shown(
        keys, Condition("Defer", (1,)), only=("DeferForceAtUserLoginMaxBypassAttempts", "DeferDontAskAtUserLogout")
    )
    keys = shown(keys, Condition("Defer", (0,), unset=True), only=("Username", "Password", "UserEntersMissingInfo"))
    return shown(keys, Condition("UseRecoveryKey", (1,), unset=True), only=("ShowRecoveryKey", "OutputPath"))


_FILEVAULT = PayloadOverlay(
    groups=(
        Group("FileVault", (
            "Enable", "Defer", "DeferForceAtUserLoginMaxBypassAttempts", "DeferDontAskAtUserLogout",
            "ForceEnableInSetupAssistant",
        )),
        Group("Recovery", (
            "UseRecoveryKey", "ShowRecoveryKey", "OutputPath", "PayloadCertificateUUID", "Certificate", "UseKeychain",
        )),
        Group("User", ("Username", "Password", "UserEntersMissingInfo")),
    ),
    keys=_filevault(),
    rules=(filevault_knows_who_turns_it_on, filevault_keeps_a_recovery_key),
)  # fmt: skip
_FILEVAULT_OPTIONS = PayloadOverlay(
    groups=(Group("FileVault", ("dontAllowFDEDisable", "dontAllowFDEEnable", "DestroyFVKeyOnStandby")),),
    keys=worded(
        {
            "dontAllowFDEDisable": "Keep users from turning FileVault off",
            "dontAllowFDEEnable": "Keep users from turning FileVault on",
            "DestroyFVKeyOnStandby": ("Forget the key in standby", "The Mac then asks for the password when it wakes."),
        }
    ),
    rules=(filevault_may_not_be_forbidden_both_ways,),
)
_ESCROW = PayloadOverlay(
    groups=(Group("Escrow", ("Location", "EncryptCertPayloadUUID", "DeviceKey")),),
    keys=worded(
        {
            "Location": ("Where the key is kept", "What users read, for example “the IT department of Example Ltd”."),
            "EncryptCertPayloadUUID": (
                "Certificate",
                "A DER certificate of this bundle that encrypts the key on its way.",
            ),
            "DeviceKey": (
                "How the key is found",
                "Shown to a user who forgot the password; left out, the serial number.",
            ),
        }
    ),
)
_REDIRECT = PayloadOverlay(
    groups=(Group("Redirection", ("RedirectURL", "EncryptCertPayloadUUID")),),
    keys=worded(
        {
            "RedirectURL": ("Server address", "Old Macs send the recovery key there."),
            "EncryptCertPayloadUUID": (
                "Certificate",
                "A DER certificate of this bundle that encrypts the key on its way.",
            ),
        }
    ),
)


def _firewall() -> dict[str, KeyOverlay]:
    keys = worded(
        {
            "EnableFirewall": "Firewall",
            "BlockAllIncoming": ("Block all incoming connections", "Except what the system itself needs."),
            "EnableStealthMode": ("Stealth mode", "Does not answer pings and probes."),
            "AllowSigned": "Let Apple's own programs in",
            "AllowSignedApp": "Let signed programs in",
            "Applications": ("Apps", "Exceptions by app."),
            "Applications.ApplicationsItem.BundleID": "Bundle ID",
            "Applications.ApplicationsItem.Allowed": "Let connections in",
            "EnableLogging": ("Write a log (old)", "Up to macOS 14."),
        }
    )
    keys["LoggingOption"] = KeyOverlay(
        title="Log (old)", values={"throttled": "Seldom", "brief": "Brief", "detail": "In detail"}
    )
    return shown(keys, Condition("EnableLogging", (1,)), only=("LoggingOption",))


_FIREWALL = PayloadOverlay(
    groups=(
        Group("Firewall", ("EnableFirewall", "BlockAllIncoming", "EnableStealthMode")),
        Group("Programs", ("AllowSigned", "AllowSignedApp", "Applications")),
        Group("Log", ("EnableLogging", "LoggingOption")),
    ),
    keys=_firewall(),
    rules=(an_open_firewall_ignores_its_options, blocking_all_ignores_apps),
)
_LOGIN_WINDOW_WORDS = worded(
    {
        "SHOWFULLNAME": ("Ask for name and password", "Instead of showing a list of users."),
        "HideLocalUsers": "Hide local users",
        "IncludeNetworkUser": "Show network users",
        "HideAdminUsers": "Hide administrators",
        "SHOWOTHERUSERS_MANAGED": "Show “Other...”",
        "HideMobileAccounts": "Hide mobile accounts",
        "AllowList": ("Users who may log in", "GUIDs of users or groups; * is everybody."),
        "DenyList": ("Users who may not log in", "GUIDs of users or groups; this list wins."),
        "LoginwindowText": ("Message", "Shown under the login fields."),
        "ShutDownDisabled": "Hide Shut Down",
        "RestartDisabled": "Hide Restart",
        "SleepDisabled": "Hide Sleep",
        "DisableConsoleAccess": "No console login",
        "ShutDownDisabledWhileLoggedIn": "No Shut Down while logged in",
        "RestartDisabledWhileLoggedIn": "No Restart while logged in",
        "PowerOffDisabledWhileLoggedIn": "No power off while logged in",
        "LogOutDisabledWhileLoggedIn": "No log-out while logged in",
        "DisableScreenLockImmediate": "No Lock Screen command",
        "showInputMenu": "Show the keyboard menu",
        "DisableFDEAutoLogin": ("Ask again after FileVault", "The password at FileVault does not log in by itself."),
        "AutologinUsername": "User who is logged in automatically",
        "AutologinPassword": "That user's password",
    }
)
_HOST_INFO = KeyOverlay(
    title="Shown behind the clock",
    values={"HostName": "Host name", "SystemVersion": "System version", "IPAddress": "IP address"},
)
_LOGIN_WINDOW = PayloadOverlay(
    groups=(
        Group("Users", (
            "SHOWFULLNAME", "HideLocalUsers", "IncludeNetworkUser", "HideAdminUsers", "HideMobileAccounts",
            "SHOWOTHERUSERS_MANAGED", "AllowList", "DenyList",
        )),
        Group("Window", ("LoginwindowText", "AdminHostInfo", "showInputMenu")),
        Group("Commands", (
            "ShutDownDisabled", "RestartDisabled", "SleepDisabled", "DisableConsoleAccess",
            "ShutDownDisabledWhileLoggedIn", "RestartDisabledWhileLoggedIn", "PowerOffDisabledWhileLoggedIn",
            "LogOutDisabledWhileLoggedIn", "DisableScreenLockImmediate",
        )),
        Group("Automatic login", ("DisableFDEAutoLogin", "AutologinUsername", "AutologinPassword")),
    ),
    keys={**_LOGIN_WINDOW_WORDS, "AdminHostInfo": _HOST_INFO},
    rules=(automatic_login_is_complete, nobody_is_allowed_and_denied),
)  # fmt: skip
_UPDATES = PayloadOverlay(
    groups=(
        Group("Automatic updates", (
            "AutomaticCheckEnabled", "AutomaticDownload", "AutomaticallyInstallMacOSUpdates",
            "AutomaticallyInstallAppUpdates", "CriticalUpdateInstall", "ConfigDataInstall",
        )),
        Group("Limits", (
            "AllowPreReleaseInstallation", "restrict-software-update-require-admin-to-install", "CatalogURL",
        )),
    ),
    keys=worded({
        "AutomaticCheckEnabled": "Look for updates",
        "AutomaticDownload": "Download updates",
        "AutomaticallyInstallMacOSUpdates": "Install macOS updates",
        "AutomaticallyInstallAppUpdates": "Install app updates",
        "CriticalUpdateInstall": "Install security updates",
        "ConfigDataInstall": ("Install system data", "Such as malware definitions."),
        "AllowPreReleaseInstallation": "Allow beta versions",
        "restrict-software-update-require-admin-to-install": "Only administrators may install",
        "CatalogURL": ("Own update server (old)", "Not from macOS 11 on."),
    }),
    rules=(updates_are_looked_for, security_updates_stay_on),
)  # fmt: skip

OVERLAYS = {
    "com.apple.MCX.FileVault2": _FILEVAULT,
    "com.apple.MCX(FileVault2)": _FILEVAULT_OPTIONS,
    "com.apple.security.FDERecoveryKeyEscrow": _ESCROW,
    "com.apple.security.FDERecoveryRedirect": _REDIRECT,
    "com.apple.security.firewall": _FIREWALL,
    "com.apple.loginwindow": _LOGIN_WINDOW,
    "com.apple.SoftwareUpdate": _UPDATES,
}
