"""The overlay for single sign-on: the old Kerberos account, extensions of apps, and Apple's Kerberos extension."""

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
    nested,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]

_PASSWORD = (
    "pwReqLength", "pwReqComplexity", "pwReqMinAge", "pwReqHistory", "pwReqText", "pwReqRTFData", "pwChangeURL",
    "pwExpireOverride", "pwNotificationDays",
)  # fmt: skip
_RIGHTS: Titles = {"Standard": "Standard user", "Admin": "Administrator", "Groups": "By groups"}
_POLICIES: Titles = {
    "AttemptAuthentication": "Try to sign in", "RequireAuthentication": "Signing in is required",
    "AllowOfflineGracePeriod": "Allow a grace period offline",
    "AllowAuthenticationGracePeriod": "Allow a grace period after login",
}  # fmt: skip


def an_extension_knows_where_it_counts(content: Content) -> Iterator[Judged]:
    """Redirect extensions are chosen by address, credential extensions by host."""
    needed = {"Redirect": "URLs", "Credential": "Hosts"}.get(str(content.get("Type", "")))
    if needed and not content.get(needed):
        yield error("is required for this type of extension.", needed)


def addresses_have_a_scheme(content: Content) -> Iterator[Judged]:
    """Apple matches prefixes that begin with http:// or https://, without a query."""
    urls = content.get("URLs")
    for number, url in enumerate(urls if isinstance(urls, list) else []):
        if isinstance(url, str) and not url.lower().startswith(("http://", "https://", "{{")):
            yield error("must begin with https:// or http://.", "URLs", number)


def platform_sso_fits_together(content: Content) -> Iterator[Judged]:
    """What Apple ties to shared keys and to a method."""
    platform = inner(content, "PlatformSSO")
    for key in ("EnableCreateUserAtLogin", "EnableAuthorization"):
        if is_on(platform, key) and not is_on(platform, "UseSharedDeviceKeys"):
            yield error("needs shared device keys.", "PlatformSSO", key)
    if is_on(platform, "EnableCreateUserAtLogin") and platform.get("AuthenticationMethod") == "UserSecureEnclaveKey":
        yield error("works with passwords and smart cards only.", "PlatformSSO", "EnableCreateUserAtLogin")
    if content.get("RegistrationToken") and not platform.get("AuthenticationMethod"):
        yield error("needs a method of Platform SSO.", "RegistrationToken")


def kerberos_realms_are_capitals(content: Content) -> Iterator[Judged]:
    """RFC 4120 section 6.1 and every Active Directory: a realm in small letters is another realm."""
    for holder, path in ((content, ("Realm",)), (inner(content, "Kerberos"), ("Kerberos", "Realm"))):
        realm = holder.get("Realm")
        if isinstance(realm, str) and "{{" not in realm and realm != realm.upper():
            yield warning("is most often written in capital letters.", *path)


def a_principal_is_needed(content: Content) -> Iterator[Judged]:
    """Nobody can be asked for it when the portal installs the account."""
    kerberos = inner(content, "Kerberos")
    if kerberos and not kerberos.get("PrincipalName"):
        yield error("is required when the portal installs it.", "Kerberos", "PrincipalName")


def _platform() -> dict[str, KeyOverlay]:
    keys = worded({
        "UseSharedDeviceKeys": ("Shared device keys", "One pair of keys for all users of the Mac."),
        "AccountDisplayName": ("Name of the account", "What users read in questions and notices."),
        "LoginFrequency": ("Full login after", "Seconds; 64,800 are 18 hours."),
        "EnableCreateUserAtLogin": "Create users at the login window",
        "EnableAuthorization": "Accept company accounts where an administrator is asked for",
        "TokenToUserMapping": "Names of claims",
        "AdministratorGroups": "Groups of administrators",
        "AuthorizationGroups": "Groups by right",
        "NonPlatformSSOAccounts": ("Local accounts left alone", ""),
        "OfflineGracePeriod": ("Grace period offline", "Seconds since the last login."),
        "AuthenticationGracePeriod": ("Grace period after login", "Seconds since the policy came."),
    })  # fmt: skip
    keys["AuthenticationMethod"] = KeyOverlay(
        title="Method",
        values={"Password": "Password", "UserSecureEnclaveKey": "Key in the Secure Enclave", "SmartCard": "Smart card"},
    )
    for key, who in (("NewUserAuthorizationMode", "New users become"), ("UserAuthorizationMode", "Users are")):
        keys[key] = KeyOverlay(title=who, values=_RIGHTS)
    for where, title in (("FileVault", "At FileVault"), ("Login", "At the login window"), ("Unlock", "At unlocking")):
        keys[f"{where}Policy"] = KeyOverlay(title=title)
        keys[f"{where}Policy.policy"] = KeyOverlay(values=_POLICIES)
    return keys


def _kerberos() -> dict[str, KeyOverlay]:
    keys = worded({
        "principalName": ("Principal name", "The user's name without the realm, for example {{ user.name }}."),
        "siteCode": "Active Directory site",
        "certificateUUID": ("Identity", "The certificate of this bundle that renews the ticket."),
        "useSiteAutoDiscovery": "Find the site automatically",
        "credentialBundleIdACL": ("Apps that may use the ticket", "Bundle IDs; left out, all may."),
        "includeManagedAppsInBundleIdACL": "Managed apps may use the ticket",
        "includeKerberosAppsInBundleIdACL": "Kerberos tools may use the ticket",
        "domainRealmMapping": "Domains of realms",
        "isDefaultRealm": "Default realm",
        "customUsernameLabel": "What the user name is called",
        "helpText": "Help text in the window",
        "allowPasswordChange": "Allow changing the password",
        "allowAutomaticLogin": "Allow keeping the password",
        "requireUserPresence": "Ask for Face ID or Touch ID",
        "syncLocalPassword": "Keep the Mac's password the same",
        "requireTLSForLDAP": "TLS for directory requests",
        "pwReqLength": "Shortest password",
        "pwReqComplexity": "Active Directory's complexity",
        "pwReqMinAge": "Days before a password may be changed",
        "pwReqHistory": "Passwords not to be used again",
        "pwReqText": "Demands as text",
        "pwReqRTFData": "Demands as an RTF file",
        "pwChangeURL": "Address for changing the password",
        "pwExpireOverride": "Password ends after days",
        "pwNotificationDays": "Warn before it ends, days",
        "replicationTime": "Seconds a change takes to reach all servers",
        "delayUserSetup": "Do not ask the user for now",
    })  # fmt: skip
    keys["credentialUseMode"] = KeyOverlay(
        title="Use the ticket",
        values={
            "always": "Always",
            "whenNotSpecified": "When no other is named",
            "kerberosDefault": "By Kerberos rules",
        },
    )
    return shown(keys, Condition("allowPasswordChange", (1,), unset=True), only=_PASSWORD)


def _extension() -> dict[str, KeyOverlay]:
    keys = worded({
        "ExtensionIdentifier": ("Extension's bundle ID", "The app extension that signs people in."),
        "TeamIdentifier": ("Developer's team ID", "Needed on a Mac."),
        "URLs": ("Addresses", "Where the extension signs people in: beginnings of addresses, without a query."),
        "Hosts": ("Hosts", "Where the extension signs people in. A leading dot takes all subdomains."),
        "Realm": ("Realm", "In capital letters."),
        "ExtensionData": ("Settings for the extension", "What its maker asks for."),
        "DeniedBundleIdentifiers": ("Apps without single sign-on", "Bundle IDs."),
        "RegistrationToken": ("Registration token", "Registers the Mac without asking the user."),
        "AuthenticationMethod": ("Method of Platform SSO (old)", "For macOS 13; later systems look into Platform SSO."),
        "PlatformSSO": ("Platform SSO", "Signs in to the Mac itself with the company's account."),
    })  # fmt: skip
    keys["Type"] = KeyOverlay(
        title="Type", values={"Credential": "Credential (challenges)", "Redirect": "Redirect (web sign-in)"}
    )
    keys["ScreenLockedBehavior"] = KeyOverlay(
        title="While the screen is locked", values={"Cancel": "Cancel", "DoNotHandle": "Go on without single sign-on"}
    )
    keys = shown(keys, Condition("Type", ("Redirect",)), only=("URLs",))
    keys = shown(keys, Condition("Type", ("Credential",)), only=("Hosts", "Realm"))
    return keys | nested("PlatformSSO", _platform())


_EXTENSIBLE = PayloadOverlay(
    groups=(
        Group("Extension", ("ExtensionIdentifier", "TeamIdentifier", "Type")),
        Group(
            "Where it signs people in", ("URLs", "Hosts", "Realm", "DeniedBundleIdentifiers", "ScreenLockedBehavior")
        ),
        Group("Settings", ("ExtensionData",)),
        Group("Platform SSO (Mac)", ("PlatformSSO", "RegistrationToken", "AuthenticationMethod")),
    ),
    keys=_extension(),
    rules=(an_extension_knows_where_it_counts, addresses_have_a_scheme, platform_sso_fits_together),
)
_KERBEROS = PayloadOverlay(
    groups=(
        Group("Extension", ("ExtensionIdentifier", "TeamIdentifier", "Type")),
        Group("Kerberos", ("Realm", "Hosts", "ExtensionData")),
    ),
    keys=worded(
        {
            "Realm": ("Realm", "In capital letters."),
            "Hosts": ("Hosts", "Where the ticket counts. A leading dot takes all subdomains."),
            "ExtensionData": "Settings",
        }
    )
    | nested("ExtensionData", _kerberos()),
    rules=(kerberos_realms_are_capitals,),
)
_ACCOUNT = PayloadOverlay(
    groups=(Group("Account", ("Name", "Kerberos")),),
    keys=worded(
        {
            "Name": ("Name", "What users see."),
            "Kerberos.PrincipalName": ("Principal name", "For example {{ user.name }}."),
            "Kerberos.Realm": ("Realm", "In capital letters."),
            "Kerberos.PayloadCertificateUUID": ("Identity", "The certificate of this bundle that renews the ticket."),
            "Kerberos.URLPrefixMatches": ("Websites", "Beginnings of addresses; left out, all websites."),
            "Kerberos.AppIdentifierMatches": ("Apps", "Bundle IDs, with * at the end for several; left out, all apps."),
        }
    ),
    rules=(kerberos_realms_are_capitals, a_principal_is_needed),
)

OVERLAYS = {
    "com.apple.extensiblesso": _EXTENSIBLE,
    "com.apple.extensiblesso(kerberos)": _KERBEROS,
    "com.apple.sso": _ACCOUNT,
}
