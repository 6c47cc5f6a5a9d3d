"""The CA's side of SCEP: requests in, CertReps out (RFC 8894, sections 3 and 4.3).

It proves that a request is whole and that its sender holds the key. It neither
compares challenges nor issues certificates; package `certificates` does.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AttributeOID

from protocol import cms
from protocol.cms import algorithms, der
from protocol.errors import AlgorithmError, FailInfo, ScepError, SignatureError
from protocol.scep import messages
from protocol.scep.messages import MessageType, PkiStatus, RequestHead, ScepRequest

# One sentence for a wrong padding, an unreadable and an unproved request: telling them
# apart would let a stranger decrypt captured requests piece by piece.
_UNREADABLE_CSR: Final = "The certification request cannot be decrypted, read or verified."


def capabilities(*, legacy: bool) -> bytes:
    """The answer to GetCACaps: one word per line, to be sent as text/plain."""
    # SHA-384 is no word of RFC 8894, and clients ignore what they do not know; strongSwan 5.9.8
    # mixes up its flags and believes in AES only where SHA-384 is listed.
    words = ["POSTPKIOperation", "SHA-256", "SHA-384", "SHA-512", "AES", "DES3", "SCEPStandard", "Renewal"]
    if legacy:
        words.append("SHA-1")
    return "".join(f"{word}\n" for word in words).encode("ascii")


def read_envelope(data: bytes, *, legacy: bool = False) -> RequestHead:
    """What a reply must echo, unverified; ScepError when not even that can be read."""
    return _read(data, legacy=legacy)[1]


def _read(data: bytes, *, legacy: bool) -> tuple[cms.SignedData, RequestHead]:
    try:
        signed = cms.read_signed_data(data)
        return signed, messages.head_of(signed, legacy=legacy)
    except SignatureError as error:
        raise ScepError(FailInfo.BAD_MESSAGE_CHECK, f"No SCEP message: {error}") from None


def parse_request(
    data: bytes, ca: x509.Certificate, *, private_key: rsa.RSAPrivateKey, legacy: bool = False
) -> ScepRequest:
    """Verify, decrypt and read a PKCSReq or RenewalReq.

    Checked: the outer signature, the proof of possession in the request, and for
    PKCSReq that both keys are one. SHA-1 and single DES only when `legacy`.
    ScepError for everything else, with `request_head` once that could be read.
    """
    signed, head = _read(data, legacy=legacy)
    try:
        return _request(signed, head, ca=ca, private_key=private_key, legacy=legacy)
    except AlgorithmError as error:
        raise ScepError(FailInfo.BAD_ALG, str(error), request_head=head) from None
    except SignatureError as error:
        raise ScepError(FailInfo.BAD_MESSAGE_CHECK, str(error), request_head=head) from None


def _request(
    signed: cms.SignedData, head: RequestHead, *, ca: x509.Certificate, private_key: rsa.RSAPrivateKey, legacy: bool
) -> ScepRequest:
    content = signed.content or b""
    signer = signed.verify(content)
    if signer.digest == "sha1" and not legacy:
        raise AlgorithmError("SHA-1 is not accepted.")
    if head.message_type not in (MessageType.PKCS_REQ, MessageType.RENEWAL_REQ):
        raise ScepError(FailInfo.BAD_REQUEST, "This kind of SCEP message is not served.", request_head=head)
    certificate = signer.certificate
    signer_key = algorithms.public_key_of(certificate)
    if not isinstance(signer_key, rsa.RSAPublicKey):
        raise AlgorithmError("The reply cannot be encrypted: the sender's key is not RSA.")
    plain, cipher = _decrypt(content, ca, private_key=private_key, legacy=legacy)
    csr = _certification_request(plain)
    if head.message_type == MessageType.PKCS_REQ and csr.public_key() != signer_key:
        raise ScepError(FailInfo.BAD_REQUEST, "The message is not signed with the requested key.", request_head=head)
    return ScepRequest(
        message_type=MessageType(head.message_type),
        transaction_id=head.transaction_id,
        sender_nonce=head.sender_nonce,
        signer=certificate,
        csr=csr,
        challenge_password=_challenge_password(csr),
        cipher=cipher,
        digest=signer.digest,
    )


def _decrypt(
    content: bytes, ca: x509.Certificate, *, private_key: rsa.RSAPrivateKey, legacy: bool
) -> tuple[bytes, str]:
    try:
        return cms.decrypt(content, ca, private_key=private_key, legacy=legacy)
    except AlgorithmError:
        raise
    except SignatureError:
        raise SignatureError(_UNREADABLE_CSR) from None


def _certification_request(plain: bytes) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_der_x509_csr(plain)
        algorithms.public_key_of(csr)
        proved = csr.is_signature_valid
    except (AlgorithmError, *algorithms.UNREADABLE):
        proved = False
    if not proved:
        raise SignatureError(_UNREADABLE_CSR)
    return csr


def _challenge_password(csr: x509.CertificateSigningRequest) -> str | None:
    try:
        value = csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
    except x509.AttributeNotFound:
        return None
    except algorithms.UNREADABLE:
        raise SignatureError(_UNREADABLE_CSR) from None
    # Before UTF8String there was T61String, which clients filled with Latin-1.
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def success(
    request: ScepRequest,
    issued: x509.Certificate,
    *,
    ca: x509.Certificate,
    private_key: rsa.RSAPrivateKey,
    nonce: bytes,
) -> bytes:
    """A CertRep with the issued certificate, by the request's own cipher and digest.

    `nonce` is 16 fresh random bytes. Send it as application/x-pki-message.
    """
    attributes = messages.message_attributes(
        MessageType.CERT_REP, request.transaction_id, sender_nonce=nonce, recipient_nonce=request.sender_nonce
    )
    attributes[messages.PKI_STATUS] = messages.printable(str(int(PkiStatus.SUCCESS)))
    content = cms.encrypt(cms.certs_only([issued]), request.signer, cipher=request.cipher)
    return cms.sign(content, ca, private_key=private_key, digest=request.digest, attributes=attributes)


def failure(
    head: RequestHead | ScepRequest,
    fail_info: FailInfo,
    *,
    ca: x509.Certificate,
    private_key: rsa.RSAPrivateKey,
    nonce: bytes,
    text: str = "",
) -> bytes:
    """A CertRep that refuses; it goes out with HTTP 200. `text` is read by people and holds no secret."""
    attributes = messages.message_attributes(
        MessageType.CERT_REP, head.transaction_id, sender_nonce=nonce, recipient_nonce=head.sender_nonce
    )
    attributes[messages.PKI_STATUS] = messages.printable(str(int(PkiStatus.FAILURE)))
    attributes[messages.FAIL_INFO] = messages.printable(str(int(fail_info)))
    if text:
        attributes[messages.FAIL_INFO_TEXT] = der.encode(der.UTF8_STRING, text.encode("utf-8", "replace"))
    return cms.sign(None, ca, private_key=private_key, digest=head.digest, attributes=attributes)
