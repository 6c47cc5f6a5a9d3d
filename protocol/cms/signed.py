"""SignedData of CMS: reading, verifying and signing (RFC 5652, section 5).

Strict about what a signature means: one signer, its certificate found by its
identifier, messageDigest compared with the content, the signature made over
the attributes as a SET. Whether the certificate is trusted is the caller's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.cms import algorithms, der
from protocol.cms.algorithms import PrivateKey
from protocol.errors import SignatureError

_EXPLICIT_0, _EXPLICIT_1 = 0xA0, 0xA1
_KEY_IDENTIFIER = 0x80
_SIGNED_ATTRIBUTES = 0xA0
# A chain has a handful; a hostile message could have us look through thousands.
_MAX_CERTIFICATES = 64


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed: valid for the bytes that were checked, not yet trusted."""

    certificate_der: bytes
    digest: str
    has_signed_attributes: bool

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate, read anew each time: keep it when it is needed twice."""
        return algorithms.load_certificate(self.certificate_der)

    @property
    def sha256(self) -> bytes:
        """The certificate's fingerprint, 32 bytes."""
        return hashlib.sha256(self.certificate_der).digest()


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One SignerInfo as it was sent; nothing of it is believed yet."""

    issuer_and_serial: bytes
    key_identifier: bytes
    digest_oid: bytes
    algorithm: bytes
    signed_attributes: bytes | None
    signature: bytes

    def attributes(self) -> dict[bytes, bytes]:
        """The signed attributes: whole object identifier -> its values one after the other, whole.

        SignatureError when one comes twice.
        """
        found: dict[bytes, bytes] = {}
        attributes = der.Reader(self.signed_attributes or b"")
        while attributes:
            attribute = attributes.enter(der.SEQUENCE)
            name = attribute.whole(der.OBJECT_IDENTIFIER)
            if name in found:
                raise SignatureError("A signed attribute comes twice.")
            found[name] = attribute.value(der.SET)
        return found


@dataclass(frozen=True, slots=True)
class SignedData:
    """A SignedData as it was sent: content (None when detached), certificates, signers."""

    content_type: bytes
    content: bytes | None
    certificates: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]

    @property
    def signer_info(self) -> SignerInfo:
        """The only SignerInfo; SignatureError when there is none or more than one."""
        if len(self.signers) != 1:
            raise SignatureError(f"The message has {len(self.signers)} signers instead of one.")
        return self.signers[0]

    def verify(self, content: bytes) -> Signer:
        """Verify the one signature over `content`; SignatureError otherwise."""
        info = self.signer_info
        if self.content_type != algorithms.DATA:
            raise SignatureError("The signed content is not plain data.")
        digest = algorithms.digest_name(info.digest_oid)
        message = self._message(info, content, digest=digest)
        certificate_der, certificate = self._certificate(info)
        key = algorithms.public_key_of(certificate)
        algorithms.verify(key, message, signature=info.signature, digest=digest, algorithm=info.algorithm)
        return Signer(certificate_der, digest, info.signed_attributes is not None)

    def _message(self, info: SignerInfo, content: bytes, *, digest: str) -> bytes:
        """The bytes that the signature covers, once the digest of `content` is found among them."""
        if info.signed_attributes is None:
            # Signed attributes of another message must not pass as content (RFC 8933 names the confusion).
            if content[:1] == b"\x31" and algorithms.MESSAGE_DIGEST in content:
                raise SignatureError("The content looks like the attributes of another signature.")
            return content
        attributes = info.attributes()
        if attributes.get(algorithms.CONTENT_TYPE) != algorithms.DATA:
            raise SignatureError("The contentType attribute is missing or is not plain data.")
        expected = der.octets(hashlib.new(digest, content, usedforsecurity=False).digest())
        if not compare_digest(attributes.get(algorithms.MESSAGE_DIGEST, b""), expected):
            raise SignatureError("The messageDigest attribute does not fit the content.")
        # RFC 5652 section 5.4: sent as [0] IMPLICIT, signed as the SET OF that it is.
        return der.encode(der.SET, info.signed_attributes)

    def _certificate(self, info: SignerInfo) -> tuple[bytes, x509.Certificate]:
        for candidate in self.certificates:
            if info.issuer_and_serial:
                if issuer_and_serial(candidate) == info.issuer_and_serial:
                    return candidate, algorithms.load_certificate(candidate)
            else:
                certificate = algorithms.load_certificate(candidate)
                if key_identifier(certificate) == info.key_identifier:
                    return candidate, certificate
        raise SignatureError("The signer's certificate is not in the message.")


def issuer_and_serial(certificate_der: bytes) -> bytes:
    """Issuer and serial number of a certificate, encoded as IssuerAndSerialNumber holds them."""
    fields = der.Reader(certificate_der).enter(der.SEQUENCE).enter(der.SEQUENCE)
    if fields.peek() == _EXPLICIT_0:
        fields.skip(_EXPLICIT_0)
    serial = fields.whole(der.INTEGER)
    fields.skip(der.SEQUENCE)
    return fields.whole(der.SEQUENCE) + serial


def key_identifier(certificate: x509.Certificate) -> bytes | None:
    """The subjectKeyIdentifier extension of a certificate, or None."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        *algorithms.UNREADABLE,
    ):
        return None


def read_signed_data(data: bytes) -> SignedData:
    """Read DER, or BER with indefinite lengths and segments; SignatureError otherwise."""
    return der.read_tolerantly(data, _read)


def _read(data: bytes) -> SignedData:
    outer = der.Reader(data)
    info = outer.enter(der.SEQUENCE)
    outer.finish()
    if info.whole(der.OBJECT_IDENTIFIER) != algorithms.SIGNED_DATA:
        raise SignatureError("The message is no SignedData.")
    signed = info.enter(_EXPLICIT_0).enter(der.SEQUENCE)
    signed.skip(der.INTEGER)
    signed.skip(der.SET)
    encapsulated = signed.enter(der.SEQUENCE)
    content_type = encapsulated.whole(der.OBJECT_IDENTIFIER)
    content = encapsulated.enter(_EXPLICIT_0).value(der.OCTET_STRING) if encapsulated else None
    certificates = _certificates(signed.enter(_EXPLICIT_0)) if signed.peek() == _EXPLICIT_0 else ()
    if signed.peek() == _EXPLICIT_1:
        signed.skip(_EXPLICIT_1)
    signer_infos = signed.enter(der.SET)
    signed.finish()
    signers = []
    while signer_infos:
        signers.append(_signer_info(signer_infos.enter(der.SEQUENCE)))
        if len(signers) > 1:
            break
    return SignedData(content_type, content, certificates, tuple(signers))


def _certificates(choices: der.Reader) -> tuple[bytes, ...]:
    found = []
    while choices:
        # Attribute certificates and other formats ([0] to [3]) have no part in this.
        element = choices.whole()
        if element[0] == der.SEQUENCE:
            found.append(element)
        if len(found) > _MAX_CERTIFICATES:
            raise SignatureError("The message has too many certificates.")
    return tuple(found)


def _signer_info(info: der.Reader) -> SignerInfo:
    info.skip(der.INTEGER)
    by_key = info.peek() == _KEY_IDENTIFIER
    identifier = info.value(_KEY_IDENTIFIER if by_key else der.SEQUENCE)
    if not identifier:
        raise SignatureError("The signer is not named.")
    return SignerInfo(
        issuer_and_serial=b"" if by_key else identifier,
        key_identifier=identifier if by_key else b"",
        digest_oid=info.enter(der.SEQUENCE).whole(der.OBJECT_IDENTIFIER),
        signed_attributes=info.value(_SIGNED_ATTRIBUTES) if info.peek() == _SIGNED_ATTRIBUTES else None,
        algorithm=info.value(der.SEQUENCE),
        signature=info.value(der.OCTET_STRING),
    )


def verify_detached(signature: bytes, body: bytes) -> Signer:
    """Verify an Mdm-Signature (already Base64-decoded) over the raw request body.

    Returns who signed; raises SignatureError for anything that cannot be read,
    has not exactly one signer, or was not signed over exactly these bytes.
    """
    signed = read_signed_data(signature)
    # Streaming encoders leave an empty content, or the body itself, in what they call detached.
    if signed.content and signed.content != body:
        raise SignatureError("The signature carries content of its own.")
    return signed.verify(body)


def verify_attached(data: bytes) -> tuple[bytes, Signer]:
    """Verify a signed file and return its content and who signed it; SignatureError otherwise."""
    signed = read_attached(data)
    content = signed.content or b""
    return content, signed.verify(content)


def read_attached(data: bytes) -> SignedData:
    """Read a signed file, nothing of it verified; SignatureError when it cannot be read or has no content.

    White space after the message, as mail and editors leave it, is ignored.
    """
    signed = read_signed_data(_without_tail(data))
    if signed.content is None:
        raise SignatureError("The message has no content.")
    return signed


def _without_tail(data: bytes) -> bytes:
    if data[1:2] == b"\x80":
        return data
    stop = der.header(data, 0, len(data))[2]
    return data if data[stop:].strip(b"\r\n\t \0") else data[:stop]


def looks_like_cms(data: bytes) -> bool:
    """Whether bytes begin like signed or enveloped CMS (DER or BER), without reading on."""
    opening = data[:20]
    return opening[:1] == b"\x30" and (algorithms.SIGNED_DATA in opening or algorithms.ENVELOPED_DATA in opening)


def sign_attached(
    content: bytes,
    certificate: x509.Certificate,
    *,
    private_key: PrivateKey,
    chain: Sequence[x509.Certificate] = (),
) -> bytes:
    """Sign a file: DER with the content inside, SHA-256, no signing time (no clock here)."""
    return sign(content, certificate, private_key=private_key, chain=chain)


def sign_detached(
    content: bytes,
    certificate: x509.Certificate,
    *,
    private_key: PrivateKey,
    digest: str = "sha256",
    signed_attributes: bool = True,
) -> bytes:
    """Sign a request body as a device does for Mdm-Signature: DER, to be Base64-encoded."""
    signer_info = _sign(
        content,
        certificate,
        private_key=private_key,
        digest=digest,
        attributes={} if signed_attributes else None,
    )
    return _signed_data(None, (certificate,), signer_infos=(signer_info,), digests=(digest,))


def sign(
    content: bytes | None,
    certificate: x509.Certificate,
    *,
    private_key: PrivateKey,
    digest: str = "sha256",
    chain: Sequence[x509.Certificate] = (),
    attributes: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """Sign `content` (None: there is none, as in a SCEP failure) with further attributes.

    `attributes` maps a whole object identifier to one whole value.
    """
    signer_info = _sign(
        content or b"", certificate, private_key=private_key, digest=digest, attributes=attributes or {}
    )
    return _signed_data(content, (certificate, *chain), signer_infos=(signer_info,), digests=(digest,))


def _sign(
    content: bytes,
    certificate: x509.Certificate,
    *,
    private_key: PrivateKey,
    digest: str,
    attributes: Mapping[bytes, bytes] | None,
) -> bytes:
    """One SignerInfo; `attributes` None signs the content itself."""
    digest_algorithm = algorithms.digest_algorithm(digest)
    message, sent = content, b""
    if attributes is not None:
        values = {
            algorithms.CONTENT_TYPE: algorithms.DATA,
            algorithms.MESSAGE_DIGEST: der.octets(hashlib.new(digest, content, usedforsecurity=False).digest()),
            **attributes,
        }
        message = der.set_of(der.sequence(name, der.encode(der.SET, value)) for name, value in values.items())
        sent = bytes((_SIGNED_ATTRIBUTES,)) + message[1:]
    algorithm, signature = algorithms.sign(private_key, message, digest=digest)
    identifier = der.sequence(issuer_and_serial(certificate.public_bytes(Encoding.DER)))
    return der.sequence(der.integer(1), identifier, digest_algorithm, sent, algorithm, der.octets(signature))


def _signed_data(
    content: bytes | None,
    certificates: Sequence[x509.Certificate],
    *,
    signer_infos: Sequence[bytes],
    digests: Sequence[str],
) -> bytes:
    encapsulated = b"" if content is None else der.encode(_EXPLICIT_0, der.octets(content))
    # A SET OF: strict readers of DER insist on its order, so no place in it means anything.
    sent = sorted({certificate.public_bytes(Encoding.DER) for certificate in certificates})
    signed = der.sequence(
        der.integer(1),
        der.set_of(algorithms.digest_algorithm(digest) for digest in digests),
        der.sequence(algorithms.DATA, encapsulated),
        der.encode(_EXPLICIT_0, *sent),
        der.set_of(signer_infos),
    )
    return der.sequence(algorithms.SIGNED_DATA, der.encode(_EXPLICIT_0, signed))


def certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    """A SignedData without signers that only carries certificates, in the order of DER."""
    return _signed_data(None, certificates, signer_infos=(), digests=())


def load_certs_only(data: bytes) -> list[x509.Certificate]:
    """The certificates of a SignedData, as they come; its signatures are not looked at."""
    return [algorithms.load_certificate(each) for each in read_signed_data(data).certificates]
