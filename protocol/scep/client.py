"""The device's side of SCEP: requests out, CertReps in (RFC 8894, sections 3 and 4.3).

For the simulator and for tests. It trusts one CA certificate, given by the caller.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from protocol import cms
from protocol.cms import algorithms, der
from protocol.cms.algorithms import PrivateKey
from protocol.errors import FailInfo, ScepError, SignatureError
from protocol.scep import messages
from protocol.scep.messages import MessageType, PkiStatus


def build_csr(private_key: PrivateKey, *, common_name: str, challenge: str | None) -> x509.CertificateSigningRequest:
    """A certification request over the key, with the challengePassword where there is one."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name))
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode("utf-8"))
    return builder.sign(private_key, hashes.SHA256())


def self_signed(private_key: PrivateKey, *, common_name: str, now: datetime) -> x509.Certificate:
    """The throw-away certificate that signs a PKCSReq (RFC 8894, section 2.3); it lives a day."""
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(common_name))
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(private_key, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def build_request(
    csr: x509.CertificateSigningRequest,
    *,
    message_type: MessageType,
    signer_certificate: x509.Certificate,
    signer_key: PrivateKey,
    ca: x509.Certificate,
    transaction_id: str,
    nonce: bytes,
    cipher: str = "aes128",
    digest: str = "sha256",
) -> bytes:
    """A PKCSReq or RenewalReq for the CA, to be posted; `nonce` is 16 fresh random bytes.

    The signer is the throw-away certificate of a first request, or the identity to be renewed.
    """
    content = cms.encrypt(csr.public_bytes(Encoding.DER), ca, cipher=cipher)
    attributes = messages.message_attributes(message_type, transaction_id, sender_nonce=nonce)
    return cms.sign(content, signer_certificate, private_key=signer_key, digest=digest, attributes=attributes)


def parse_response(
    data: bytes,
    *,
    ca: x509.Certificate,
    recipient_certificate: x509.Certificate,
    private_key: rsa.RSAPrivateKey,
    transaction_id: str,
    nonce: bytes,
) -> x509.Certificate:
    """The issued certificate of a CertRep that the CA signed in answer to our request.

    `recipient_certificate` and `private_key` are those that signed the request. ScepError
    with the CA's fail_info when it refused, with BAD_MESSAGE_CHECK when the reply is not to be believed.
    """
    try:
        signed = cms.read_signed_data(data)
        signer = signed.verify(signed.content or b"")
        if signer.certificate_der != ca.public_bytes(Encoding.DER):
            raise SignatureError("The reply is not signed by the CA.")
        attributes = signed.signer_info.attributes()
        _check_echo(attributes, transaction_id=transaction_id, nonce=nonce)
        _check_status(attributes)
        content, _ = cms.decrypt(signed.content or b"", recipient_certificate, private_key=private_key, legacy=True)
        return _issued(cms.load_certs_only(content), ca, recipient_certificate=recipient_certificate)
    except SignatureError as error:
        raise ScepError(FailInfo.BAD_MESSAGE_CHECK, str(error)) from None


def _check_echo(attributes: dict[bytes, bytes], *, transaction_id: str, nonce: bytes) -> None:
    if messages.number_of(attributes, messages.MESSAGE_TYPE) != MessageType.CERT_REP:
        raise SignatureError("The reply is no CertRep.")
    if messages.text_of(attributes, messages.TRANSACTION_ID) != transaction_id:
        raise SignatureError("The reply belongs to another transaction.")
    if messages.nonce_of(attributes, messages.RECIPIENT_NONCE) != nonce:
        raise SignatureError("The reply answers another request.")


def _check_status(attributes: dict[bytes, bytes]) -> None:
    status = messages.number_of(attributes, messages.PKI_STATUS)
    if status == PkiStatus.SUCCESS:
        return
    if status == PkiStatus.PENDING:
        raise ScepError(FailInfo.BAD_REQUEST, "The CA wants to be asked again later.")
    fail_info = messages.number_of(attributes, messages.FAIL_INFO)
    known = FailInfo(fail_info) if fail_info in set(FailInfo) else FailInfo.BAD_REQUEST
    raise ScepError(known, _fail_info_text(attributes))


def _fail_info_text(attributes: dict[bytes, bytes]) -> str:
    encoded = attributes.get(messages.FAIL_INFO_TEXT)
    return der.Reader(encoded).value(der.UTF8_STRING).decode("utf-8", "replace") if encoded else ""


def _issued(
    certificates: list[x509.Certificate], ca: x509.Certificate, *, recipient_certificate: x509.Certificate
) -> x509.Certificate:
    """The certificate over our key, or with a renewed key the one that is not the CA's."""
    recipient_key = algorithms.public_key_of(recipient_certificate)
    others = [certificate for certificate in certificates if certificate != ca]
    for certificate in others:
        if algorithms.public_key_of(certificate) == recipient_key:
            return certificate
    if not others:
        raise SignatureError("The reply holds no issued certificate.")
    return others[0]
