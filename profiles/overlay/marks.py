"""Which keys hold secrets, and which name other payloads by UUID, in every variant of the catalogue.

A test finds keys whose names look like either and demands that they stand here or in its list of harmless ones.
"""

from collections.abc import Mapping

__all__ = ["REFERENCES", "REFERENCE_KEYS", "SECRETS"]

IDENTITIES = (
    "com.apple.security.pkcs12", "com.apple.security.scep", "com.apple.security.acme", "com.apple.ADCertificate.managed",
)  # fmt: skip
AUTHORITIES = ("com.apple.security.root", "com.apple.security.pem", "com.apple.security.pkcs1")
ESCROW = ("com.apple.security.pkcs1",)
PER_APP_VPN = ("com.apple.vpn.managed.applayer",)

SECRETS: Mapping[str, tuple[str, ...]] = {
    "com.apple.AIM.account": ("AIMPassword",),
    "com.apple.DirectoryService.managed": ("Password",),
    "com.apple.MCX.FileVault2": ("Password",),
    "com.apple.airplay": ("Passwords.PasswordsItem.Password",),
    "com.apple.airplay.security": ("Password",),
    "com.apple.apn.managed": ("DefaultsData.apns.apnsItem.password",),
    "com.apple.caldav.account": ("CalDAVPassword",),
    "com.apple.carddav.account": ("CardDAVPassword",),
    "com.apple.cellular": ("AttachAPN.Password", "APNs.APNsItem.Password"),
    "com.apple.configurationprofile.identification": ("PayloadIdentification.Password",),
    "com.apple.eas.account": ("Password", "CertificatePassword"),
    "com.apple.ews.account": ("Password",),
    "com.apple.extensiblesso": ("RegistrationToken",),
    "com.apple.jabber.account": ("JabberPassword",),
    "com.apple.ldap.account": ("LDAPAccountPassword",),
    "com.apple.loginwindow": ("AutologinPassword",),
    "com.apple.mail.managed": ("IncomingPassword", "OutgoingPassword"),
    "com.apple.osxserver.account": ("Password",),
    "com.apple.profileRemovalPassword": ("RemovalPassword",),
    "com.apple.proxy.http.global": ("ProxyPassword",),
    # What a relay is sent to let a device in, most often a token.
    "com.apple.relay.managed": ("Relays.Relay.AdditionalHTTPHeaderFields.ANY",),
    "com.apple.security.pkcs12": ("Password",),
    "com.apple.security.scep": ("PayloadContent.Challenge",),
    "com.apple.subscribedcalendar.account": ("SubCalAccountPassword",),
    "com.apple.vpn.managed": (
        "VPN.Password", "PPP.AuthPassword", "IPSec.XAuthPassword", "IPSec.SharedSecret", "IKEv2.Password",
        "IKEv2.SharedSecret", "IKEv2.AuthPassword", "IKEv2.PPK", "Proxies.HTTPProxyPassword", "TransparentProxy.Password",
    ),
    "com.apple.webcontent-filter": ("Password",),
    "com.apple.wifi.managed": ("Password", "EAPClientConfiguration.UserPassword", "ProxyPassword"),
    "com.apple.xsan": ("sharedSecret",),
}  # fmt: skip

REFERENCES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "com.apple.MCX.FileVault2": {"PayloadCertificateUUID": AUTHORITIES},
    "com.apple.caldav.account": {"VPNUUID": PER_APP_VPN},
    "com.apple.carddav.account": {"VPNUUID": PER_APP_VPN},
    "com.apple.dnsSettings.managed": {"PayloadCertificateUUID": IDENTITIES},
    "com.apple.eas.account": {
        "PayloadCertificateUUID": IDENTITIES,
        "SMIMESigningCertificateUUID": IDENTITIES,
        "SMIMEEncryptionCertificateUUID": IDENTITIES,
        "VPNUUID": PER_APP_VPN,
    },
    "com.apple.education": {
        "PayloadCertificateUUID": IDENTITIES,
        "LeaderPayloadCertificateAnchorUUID.LeaderPayloadCertificateAnchorUUIDItem": AUTHORITIES,
        "MemberPayloadCertificateAnchorUUID.MemberPayloadCertificateAnchorUUIDItem": AUTHORITIES,
        "ResourcePayloadCertificateUUID": IDENTITIES,
    },
    "com.apple.ews.account": {"PayloadCertificateUUID": IDENTITIES, "AuthenticationCertificateUUID": IDENTITIES},
    "com.apple.extensiblesso(kerberos)": {"ExtensionData.certificateUUID": IDENTITIES},
    "com.apple.google-oauth": {"VPNUUID": PER_APP_VPN},
    "com.apple.ldap.account": {"VPNUUID": PER_APP_VPN},
    "com.apple.lom": {
        "DeviceCertificateUUID": IDENTITIES,
        "ControllerCertificateUUID": IDENTITIES,
        "DeviceCACertificateUUIDs.DeviceCACertificateUUIDsItem": AUTHORITIES,
        "ControllerCACertificateUUIDs.ControllerCACertificateUUIDsItem": AUTHORITIES,
    },
    "com.apple.mail.managed": {
        "SMIMESigningCertificateUUID": IDENTITIES,
        "SMIMEEncryptionCertificateUUID": IDENTITIES,
        "VPNUUID": PER_APP_VPN,
    },
    "com.apple.mdm": {
        "IdentityCertificateUUID": IDENTITIES,
        "ServerURLPinningCertificateUUIDs.ServerURLPinningCertificateUUIDsItem": AUTHORITIES,
        "CheckInURLPinningCertificateUUIDs.CheckInURLPinningCertificateUUIDsItem": AUTHORITIES,
    },
    "com.apple.relay.managed": {"Relays.Relay.PayloadCertificateUUID": IDENTITIES},
    "com.apple.security.FDERecoveryKeyEscrow": {"EncryptCertPayloadUUID": ESCROW},
    "com.apple.security.FDERecoveryRedirect": {"EncryptCertPayloadUUID": ESCROW},
    "com.apple.security.certificatepreference": {"PayloadCertificateUUID": (*AUTHORITIES, *IDENTITIES)},
    "com.apple.security.identitypreference": {"PayloadCertificateUUID": IDENTITIES},
    "com.apple.sso": {"Kerberos.PayloadCertificateUUID": IDENTITIES},
    "com.apple.subscribedcalendar.account": {"VPNUUID": PER_APP_VPN},
    "com.apple.vpn.managed": {
        "VPN.PayloadCertificateUUID": IDENTITIES,
        "IPSec.PayloadCertificateUUID": IDENTITIES,
        "IKEv2.PayloadCertificateUUID": IDENTITIES,
        "DNS.PayloadCertificateUUID": IDENTITIES,
        "TransparentProxy.PayloadCertificateUUID": IDENTITIES,
    },
    "com.apple.vpn.managed.appmapping": {"AppLayerVPNMapping.AppLayerVPNMappingItem.VPNUUID": PER_APP_VPN},
    "com.apple.webcontent-filter": {"PayloadCertificateUUID": IDENTITIES},
    "com.apple.wifi.managed": {
        "PayloadCertificateUUID": IDENTITIES,
        "EAPClientConfiguration.PayloadCertificateAnchorUUID.CertificateAnchorUUID": AUTHORITIES,
        "EAPClientConfiguration.TLSTrustedCertificates.TLSTrustedCertificatesItem": AUTHORITIES,
    },
}

# Payload types that are named by a key of their own instead of their PayloadUUID.
REFERENCE_KEYS: Mapping[str, str] = {"com.apple.vpn.managed.applayer": "VPNUUID"}
