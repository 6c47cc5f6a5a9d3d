"""The overlay for Mail (com.apple.mail.managed) and Exchange (com.apple.eas.account, com.apple.ews.account)."""

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
    is_on,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]

_AUTHENTICATION: Titles = {
    "EmailAuthNone": "None", "EmailAuthPassword": "Password", "EmailAuthCRAMMD5": "MD5 challenge (CRAM-MD5)",
    "EmailAuthNTLM": "NTLM", "EmailAuthHTTPMD5": "HTTP MD5 digest",
}  # fmt: skip
_SIGNING = (
    "SMIMESigningCertificateUUID",
    "SMIMESigningUserOverrideable",
    "SMIMESigningCertificateUUIDUserOverrideable",
)
_ENCRYPTING = (
    "SMIMEEncryptByDefault", "SMIMEEncryptByDefaultUserOverrideable", "SMIMEEncryptionCertificateUUID",
    "SMIMEEncryptionCertificateUUIDUserOverrideable", "SMIMEEnableEncryptionPerMessageSwitch",
)  # fmt: skip
_SMIME_GROUP = Group("Signing and encryption (S/MIME)", (
    "SMIMESigningEnabled", *_SIGNING, *_ENCRYPTING, "SMIMEEnabled", "SMIMEEncryptionEnabled",
    "SMIMEEnablePerMessageSwitch",
))  # fmt: skip
_EXCHANGE_PARTS = ("Mail", "Contacts", "Calendars", "Reminders", "Notes")


def signing_needs_a_certificate(content: Content) -> Iterator[Judged]:
    """Mail cannot sign, or encrypt to itself, without an identity."""
    for switch, key in (
        ("SMIMESigningEnabled", "SMIMESigningCertificateUUID"),
        ("SMIMEEncryptByDefault", "SMIMEEncryptionCertificateUUID"),
    ):
        if is_on(content, switch) and not content.get(key):
            yield warning("is not set: users must choose a certificate themselves.", key)


def a_password_needs_tls(content: Content) -> Iterator[Judged]:
    """Without TLS it goes over the network for anybody to read."""
    for side in ("Incoming", "Outgoing"):
        method = content.get(f"{side}MailServerAuthentication")
        if method == "EmailAuthPassword" and not is_on(content, f"{side}MailServerUseSSL"):
            yield warning("is off: the password crosses the network unprotected.", f"{side}MailServerUseSSL")


def no_password_where_none_is_asked(content: Content) -> Iterator[Judged]:
    """Kept secrets that nobody uses are a risk for nothing."""
    for side in ("Incoming", "Outgoing"):
        if content.get(f"{side}MailServerAuthentication") == "EmailAuthNone" and content.get(f"{side}Password"):
            yield warning("is not used: the server asks for none.", f"{side}Password")


def exchange_needs_tls(content: Content) -> Iterator[Judged]:
    """ActiveSync carries the password in each request; on iPhones TLS is off where it is not set."""
    if not is_on(content, "SSL"):
        yield warning("is off: mail and password cross the network unprotected.", "SSL")


def oauth_and_password_exclude_each_other(content: Content) -> Iterator[Judged]:
    """With OAuth the account asks the identity provider, and never sends a password."""
    if is_on(content, "OAuth") and content.get("Password"):
        yield error("cannot be used together with OAuth.", "Password")


def oauth_addresses_need_oauth(content: Content) -> Iterator[Judged]:
    """They are read only where OAuth is on."""
    for key in ("OAuthSignInURL", "OAuthTokenRequestURL"):
        if content.get(key) and not is_on(content, "OAuth"):
            yield warning("has no effect while OAuth is off.", key)


def _smime() -> dict[str, KeyOverlay]:
    return worded({
        "SMIMEEnabled": ("S/MIME (old)", "For systems before iOS 10."),
        "SMIMESigningEnabled": "Sign messages",
        "SMIMESigningUserOverrideable": "Let users turn signing on and off",
        "SMIMESigningCertificateUUID": ("Certificate for signing", "An identity of this bundle."),
        "SMIMESigningCertificateUUIDUserOverrideable": "Let users choose the certificate for signing",
        "SMIMEEncryptionEnabled": ("Encrypt messages (old)", "For systems before iOS 12."),
        "SMIMEEncryptByDefault": "Encrypt messages",
        "SMIMEEncryptByDefaultUserOverrideable": "Let users turn encryption on and off",
        "SMIMEEncryptionCertificateUUID": ("Certificate for encryption", "An identity of this bundle."),
        "SMIMEEncryptionCertificateUUIDUserOverrideable": "Let users choose the certificate for encryption",
        "SMIMEEnablePerMessageSwitch": "Let users encrypt single messages (old)",
        "SMIMEEnableEncryptionPerMessageSwitch": "Let users encrypt single messages",
        "PreventMove": "Keep messages in this account",
        "PreventAppSheet": "Use this account in Mail only",
        "allowMailDrop": "Allow Mail Drop for large attachments",
        "disableMailRecentsSyncing": "Do not sync recent addresses",
        "VPNUUID": ("Per-app VPN", "The VPN that this account uses."),
    })  # fmt: skip


def _mail() -> dict[str, KeyOverlay]:
    keys = _smime() | worded({
        "EmailAccountDescription": ("Name of the account", "What users see in Mail."),
        "EmailAccountName": ("User's full name", "What others see as the sender, for example {{ user.full_name }}."),
        "EmailAddress": ("E-mail address", "For example {{ user.email }}. Left out, the device asks for it."),
        "IncomingMailServerHostName": "Incoming server",
        "IncomingMailServerPortNumber": ("Incoming port", "993 for IMAP and 995 for POP with TLS."),
        "IncomingMailServerUseSSL": "TLS for incoming mail",
        "IncomingMailServerUsername": "Incoming user name",
        "IncomingPassword": ("Incoming password", "Left out, the device asks for it."),
        "IncomingMailServerIMAPPathPrefix": "IMAP path prefix",
        "OutgoingMailServerHostName": "Outgoing server",
        "OutgoingMailServerPortNumber": ("Outgoing port", "Most often 587, or 465 with TLS from the start."),
        "OutgoingMailServerUseSSL": "TLS for outgoing mail",
        "OutgoingMailServerUsername": "Outgoing user name",
        "OutgoingPassword": ("Outgoing password", "Left out, the device asks for it."),
        "OutgoingPasswordSameAsIncomingPassword": "Same password for outgoing mail",
    })  # fmt: skip
    keys["EmailAccountType"] = KeyOverlay(title="Kind", values={"EmailTypeIMAP": "IMAP", "EmailTypePOP": "POP"})
    for side in ("Incoming", "Outgoing"):
        keys[f"{side}MailServerAuthentication"] = KeyOverlay(title=f"{side} sign-in", values=_AUTHENTICATION)
    imap = Condition("EmailAccountType", ("EmailTypeIMAP",))
    keys = shown(keys, imap, only=("IncomingMailServerIMAPPathPrefix",))
    apart = Condition("OutgoingPasswordSameAsIncomingPassword", (0,), unset=True)
    keys = shown(keys, apart, only=("OutgoingPassword",))
    return shown(keys, Condition("SMIMESigningEnabled", (1,)), only=_SIGNING)


def _exchange() -> dict[str, KeyOverlay]:
    keys = _smime() | worded({
        "EmailAddress": ("E-mail address", "For example {{ user.email }}. Left out, the device asks for it."),
        "Host": ("Server", "Without https:// and path."),
        "SSL": "Use TLS",
        "UserName": ("User name", "With the domain where one is needed, for example {{ user.email }}."),
        "Password": ("Password", "Left out, the device asks for it."),
        "OAuth": ("Sign in with OAuth", "For Microsoft 365 and others with modern authentication."),
        "OAuthSignInURL": "OAuth sign-in address",
        "OAuthTokenRequestURL": "OAuth token address",
        "OverridePreviousPassword": "Replace a password the user has set",
        "PayloadCertificateUUID": ("Identity", "The certificate of this bundle that signs in to the server."),
        "Certificate": ("Identity as a file (old)", "A PKCS #12 file. Better: an identity payload, chosen above."),
        "CertificateName": "Name of the identity file",
        "CertificatePassword": "Password of the identity file",
        "HeaderMagic": "Proof for mail gateways",
        "CommunicationServiceRules": "App for calls",
    })  # fmt: skip
    keys["MailNumberOfPastDaysToSync"] = KeyOverlay(
        title="Mail of the last",
        values={0: "Everything", 1: "Day", 3: "3 days", 7: "Week", 14: "2 weeks", 31: "Month"},
    )
    for part in _EXCHANGE_PARTS:
        keys[f"Enable{part}"] = KeyOverlay(title=part)
        keys[f"Enable{part}UserOverridable"] = KeyOverlay(title=f"Let users turn {part.lower()} on and off")
    keys = shown(keys, Condition("OAuth", (1,)), only=("OAuthSignInURL", "OAuthTokenRequestURL"))
    keys = shown(keys, Condition("OAuth", (0,), unset=True), only=("Password", "OverridePreviousPassword"))
    return shown(keys, Condition("SMIMESigningEnabled", (1,)), only=_SIGNING)


_MAIL = PayloadOverlay(
    groups=(
        Group("Account", ("EmailAccountDescription", "EmailAccountName", "EmailAddress", "EmailAccountType")),
        Group("Incoming mail", (
            "IncomingMailServerHostName", "IncomingMailServerPortNumber", "IncomingMailServerUseSSL",
            "IncomingMailServerAuthentication", "IncomingMailServerUsername", "IncomingPassword",
            "IncomingMailServerIMAPPathPrefix",
        )),
        Group("Outgoing mail", (
            "OutgoingMailServerHostName", "OutgoingMailServerPortNumber", "OutgoingMailServerUseSSL",
            "OutgoingMailServerAuthentication", "OutgoingMailServerUsername", "OutgoingPasswordSameAsIncomingPassword",
            "OutgoingPassword",
        )),
        Group("Limits", ("PreventMove", "PreventAppSheet", "allowMailDrop", "disableMailRecentsSyncing", "VPNUUID")),
        _SMIME_GROUP,
    ),
    keys=_mail(),
    rules=(a_password_needs_tls, no_password_where_none_is_asked, signing_needs_a_certificate),
)  # fmt: skip

_EAS = PayloadOverlay(
    groups=(
        Group("Account", ("Host", "SSL", "EmailAddress", "UserName", "Password", "OverridePreviousPassword")),
        Group("Sign-in", (
            "OAuth", "OAuthSignInURL", "OAuthTokenRequestURL", "PayloadCertificateUUID", "Certificate",
            "CertificateName", "CertificatePassword",
        )),
        Group("What is synced", (
            "MailNumberOfPastDaysToSync", *(f"Enable{part}" for part in _EXCHANGE_PARTS),
            *(f"Enable{part}UserOverridable" for part in _EXCHANGE_PARTS),
        )),
        Group("Limits", (
            "PreventMove", "PreventAppSheet", "allowMailDrop", "disableMailRecentsSyncing", "VPNUUID", "HeaderMagic",
            "CommunicationServiceRules",
        )),
        _SMIME_GROUP,
    ),
    keys=_exchange(),
    rules=(
        exchange_needs_tls,
        oauth_and_password_exclude_each_other,
        oauth_addresses_need_oauth,
        signing_needs_a_certificate,
    ),
)  # fmt: skip

_EWS = PayloadOverlay(
    groups=(
        Group("Account", ("EmailAddress", "UserName", "Password", "allowMailDrop")),
        Group("Sign-in", ("OAuth", "OAuthSignInURL", "AuthenticationCertificateUUID", "PayloadCertificateUUID")),
        Group("Server inside of the company", ("Host", "SSL", "Port", "Path")),
        Group("Server on the internet", ("ExternalHost", "ExternalSSL", "ExternalPort", "ExternalPath")),
    ),
    keys=shown(
        worded(
            {
                "EmailAddress": ("E-mail address", "For example {{ user.email }}."),
                "Host": ("Server", "Left out, the Mac looks for it (Autodiscover)."),
                "SSL": "Use TLS",
                "UserName": "User name",
                "Password": ("Password", "Left out, the Mac asks for it."),
                "OAuth": ("Sign in with OAuth", "For Microsoft 365 and others with modern authentication."),
                "OAuthSignInURL": "OAuth sign-in address",
                "AuthenticationCertificateUUID": (
                    "Identity",
                    "The certificate of this bundle that signs in to the server.",
                ),
                "PayloadCertificateUUID": ("Identity (older key)", ""),
                "ExternalHost": "Server",
                "ExternalSSL": "Use TLS",
                "ExternalPort": "Port",
                "ExternalPath": "Path",
                "allowMailDrop": "Allow Mail Drop for large attachments",
            }
        ),
        Condition("OAuth", (1,)),
        only=("OAuthSignInURL",),
    ),
    rules=(oauth_and_password_exclude_each_other, oauth_addresses_need_oauth),
)

OVERLAYS = {"com.apple.mail.managed": _MAIL, "com.apple.eas.account": _EAS, "com.apple.ews.account": _EWS}
