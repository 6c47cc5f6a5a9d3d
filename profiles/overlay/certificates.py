"""The overlay for certificates (root, PKCS #1, PEM, PKCS #12) and for identities by SCEP (RFC 8894) and ACME (RFC 8555)."""

from collections.abc import Iterator

from profiles.overlay.facts import (
    Condition,
    Content,
    Group,
    Judged,
    KeyOverlay,
    PayloadOverlay,
    error,
    inner,
    is_on,
    nested,
    shown,
    warning,
    worded,
)

__all__ = ["OVERLAYS"]

_SIGN, _ENCRYPT = 1, 4
_CURVES = (192, 256, 384, 521)
_SECURE_ENCLAVE = (256, 384)


def scep_keys_are_rsa(content: Content) -> Iterator[Judged]:
    """Devices make RSA keys for SCEP and nothing else."""
    kind = inner(content, "PayloadContent").get("Key Type")
    if isinstance(kind, str) and kind != "RSA":
        yield error("must be RSA: devices make no other keys for SCEP.", "PayloadContent", "Key Type")


def scep_keys_are_long_enough(content: Content) -> Iterator[Judged]:
    """1024 bits is what a device takes when nothing is said, and most servers refuse it."""
    settings = inner(content, "PayloadContent")
    if settings and settings.get("Keysize", 1024) == 1024:
        yield warning("is 1024 bits, which is too weak: choose 2048 or 4096.", "PayloadContent", "Keysize")


def scep_server_is_known(content: Content) -> Iterator[Judged]:
    """Over plain HTTP only the fingerprint tells the right authority from another one."""
    settings = inner(content, "PayloadContent")
    url = settings.get("URL")
    if isinstance(url, str) and url.startswith("http://") and not settings.get("CAFingerprint"):
        yield warning("should be set, as the address is plain HTTP.", "PayloadContent", "CAFingerprint")


def scep_needs_a_challenge(content: Content) -> Iterator[Judged]:
    """Without one a server either refuses everybody or signs for anybody."""
    settings = inner(content, "PayloadContent")
    if settings and not settings.get("Challenge"):
        yield warning("is not set: most servers refuse requests without it.", "PayloadContent", "Challenge")


def acme_keys_fit_their_kind(content: Content) -> Iterator[Judged]:
    """Sizes and binding by kind of key, as Apple's schema says in its words."""
    kind, size, bound = content.get("KeyType"), content.get("KeySize"), is_on(content, "HardwareBound")
    if bound and kind == "RSA":
        yield error("must be elliptic curve (ECSECPrimeRandom) for a key that is bound to the hardware.", "KeyType")
    if not isinstance(size, int) or isinstance(size, bool):
        return
    if kind == "ECSECPrimeRandom" and size not in (_SECURE_ENCLAVE if bound else _CURVES):
        sizes = "256 or 384" if bound else "192, 256, 384 or 521"
        yield error(f"must be {sizes} for this kind of key.", "KeySize")
    if kind == "RSA" and (size % 8 or not 1024 <= size <= 4096):
        yield error("must be a multiple of 8 between 1024 and 4096 for RSA.", "KeySize")


def attestation_needs_bound_keys(content: Content) -> Iterator[Judged]:
    """A proof about the device says nothing about a key that can leave it."""
    if is_on(content, "Attest") and not is_on(content, "HardwareBound"):
        yield error("must be on for a proof of the device (attestation).", "HardwareBound")


def acme_speaks_https(content: Content) -> Iterator[Judged]:
    """RFC 8555 section 6.1."""
    url = content.get("DirectoryURL")
    if isinstance(url, str) and url.startswith("http://"):
        yield error("must be an https address.", "DirectoryURL")


def an_identity_needs_its_password(content: Content) -> Iterator[Judged]:
    """A device that is managed installs without a person who could type it."""
    if content.get("PayloadContent") and not content.get("Password"):
        yield warning("is not set: devices can ask nobody for it when the portal installs the identity.", "Password")


_SUBJECT_ALT_NAME = worded(
    {
        "rfc822Name": "E-mail address",
        "dNSName": "DNS name",
        "uniformResourceIdentifier": "URI",
        "ntPrincipalName": ("NT principal name", "What Windows networks know the user or device by."),
    }
)
_KEYCHAIN = worded(
    {
        "AllowAllAppsAccess": ("Let all apps use the private key", "On a Mac."),
        "KeyIsExtractable": ("Let the private key be exported", "On a Mac."),
    }
)


def _scep() -> dict[str, KeyOverlay]:
    keys = worded({
        "URL": ("Server address", "The address of the SCEP service."),
        "Name": ("Authority", "A name the server understands, where it serves several authorities."),
        "Subject": ("Subject", "Name parts such as CN = {{ device.serial_number }}, in order."),
        "Challenge": ("Challenge", "The password of the request."),
        "Keysize": ("Key size", "2048 or 4096 bits."),
        "Key Type": ("Kind of key", "Always RSA."),
        "CAFingerprint": ("Authority's fingerprint", "The hash of the authority's certificate."),
        "Retries": "Tries while the server says “pending”",
        "RetryDelay": "Seconds between tries",
        "SubjectAltName": "Alternative names",
    })  # fmt: skip
    keys["Key Usage"] = KeyOverlay(
        title="Key usage",
        help=f"{_SIGN} signing, {_ENCRYPT} encryption, {_SIGN + _ENCRYPT} both, 0 whatever the server says.",
    )
    return nested("PayloadContent", keys | _KEYCHAIN | nested("SubjectAltName", _SUBJECT_ALT_NAME))


def _acme() -> dict[str, KeyOverlay]:
    keys = worded({
        "DirectoryURL": ("Server address", "The https address of the ACME directory."),
        "ClientIdentifier": ("Client identifier", "What the server knows this device by, for example {{ device.serial_number }}."),
        "HardwareBound": ("Bind the key to the hardware", "The Secure Enclave makes the key, and it never leaves the device."),
        "Attest": ("Prove the device", "Apple attests the device and its key to the server."),
        "KeySize": ("Key size", "Elliptic curve: 256, 384 or 521; RSA: 2048 to 4096."),
        "Subject": ("Subject", "Name parts such as CN = {{ device.serial_number }}, in order."),
        "SubjectAltName": "Alternative names",
        "UsageFlags": ("Key usage", f"{_SIGN} signing, {_ENCRYPT} encryption, {_SIGN + _ENCRYPT} both."),
        "ExtendedKeyUsage": ("Extended key usage", "Dotted OIDs; 1.3.6.1.5.5.7.3.2 is client authentication."),
        "ExtendedKeyUsage.OID": "OID",
    })  # fmt: skip
    keys["KeyType"] = KeyOverlay(
        title="Kind of key", values={"RSA": "RSA", "ECSECPrimeRandom": "Elliptic curve (ECSECPrimeRandom)"}
    )
    keys = shown(keys | _KEYCHAIN, Condition("HardwareBound", (0,)), only=("KeyIsExtractable",))
    return keys | nested("SubjectAltName", _SUBJECT_ALT_NAME)


def _certificate(what: str) -> PayloadOverlay:
    keys = worded(
        {
            "PayloadContent": ("Certificate", what),
            "PayloadCertificateFileName": ("File name", "Shown nowhere but in old profile editors."),
        }
    )
    return PayloadOverlay(groups=(Group("Certificate", ("PayloadContent", "PayloadCertificateFileName")),), keys=keys)


_PKCS12 = PayloadOverlay(
    groups=(
        Group("Identity", ("PayloadContent", "Password", "PayloadCertificateFileName")),
        Group("On a Mac", ("AllowAllAppsAccess", "KeyIsExtractable")),
    ),
    keys=_KEYCHAIN
    | worded({
        "PayloadContent": ("Identity file", "A .p12 or .pfx file. Every device gets the same key: SCEP and ACME are better."),
        "Password": ("Password of the file", ""),
        "PayloadCertificateFileName": ("File name", "Shown nowhere but in old profile editors."),
    }),
    rules=(an_identity_needs_its_password,),
)  # fmt: skip
_SCEP = PayloadOverlay(
    groups=(Group("SCEP", ("PayloadContent",)),),
    keys={"PayloadContent": KeyOverlay(title="Request"), **_scep()},
    rules=(scep_keys_are_rsa, scep_keys_are_long_enough, scep_server_is_known, scep_needs_a_challenge),
)
_ACME = PayloadOverlay(
    groups=(
        Group("Server", ("DirectoryURL", "ClientIdentifier")),
        Group("Key", ("KeyType", "KeySize", "HardwareBound", "Attest", "KeyIsExtractable", "AllowAllAppsAccess")),
        Group("Certificate", ("Subject", "SubjectAltName", "UsageFlags", "ExtendedKeyUsage")),
    ),
    keys=_acme(),
    rules=(acme_keys_fit_their_kind, attestation_needs_bound_keys, acme_speaks_https),
)

OVERLAYS = {
    "com.apple.security.root": _certificate("The authority's certificate, in DER form (.cer, .crt)."),
    "com.apple.security.pkcs1": _certificate("A certificate in DER form (.cer, .crt)."),
    "com.apple.security.pem": _certificate("A certificate as PEM text (.pem)."),
    "com.apple.security.pkcs12": _PKCS12,
    "com.apple.security.scep": _SCEP,
    "com.apple.security.acme": _ACME,
}
