"""SCEP: our client against our server, and messages that must be refused."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.name import _ASN1Type
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import cms, scep
from protocol.cms import algorithms, der
from protocol.errors import FailInfo, ScepError
from protocol.scep import MessageType, messages
from tests.protocol.keyring import NOW, ec_identity, make_certificate, rsa_identity

TRANSACTION = "8E1FC1C2A7D5"
NONCE, REPLY_NONCE = bytes(range(16)), bytes(range(16, 32))
CHALLENGE = "one-time äöü"


def authority():
    return rsa_identity("Example CA")


def device_key():
    return rsa_identity("Device of SCEP").key


def throw_away() -> x509.Certificate:
    return scep.self_signed(device_key(), common_name="Device", now=NOW)


def request(**changes: object) -> bytes:
    options = {
        "message_type": MessageType.PKCS_REQ,
        "signer_certificate": throw_away(),
        "signer_key": device_key(),
        "ca": authority().certificate,
        "transaction_id": TRANSACTION,
        "nonce": NONCE,
    }
    csr = changes.pop("csr", None) or scep.build_csr(device_key(), common_name="Device", challenge=CHALLENGE)
    return scep.build_request(csr, **(options | changes))


def parse(data: bytes, *, legacy: bool = False) -> scep.ScepRequest:
    return scep.parse_request(data, authority().certificate, private_key=authority().key, legacy=legacy)


def refused(data: bytes, *, legacy: bool = False) -> ScepError:
    with pytest.raises(ScepError) as caught:
        parse(data, legacy=legacy)
    return caught.value


def issue(public_key) -> x509.Certificate:
    return make_certificate(public_key, authority().key, name="Issued", issuer="Example CA")


def reply(parsed: scep.ScepRequest, issued: x509.Certificate) -> bytes:
    return scep.success(parsed, issued, ca=authority().certificate, private_key=authority().key, nonce=REPLY_NONCE)


def refuse(head, fail_info: FailInfo, text: str = "") -> bytes:
    return scep.failure(
        head, fail_info, ca=authority().certificate, private_key=authority().key, nonce=REPLY_NONCE, text=text
    )


def receive(data: bytes, recipient: x509.Certificate, **changes: object) -> x509.Certificate:
    options = {
        "ca": authority().certificate,
        "recipient_certificate": recipient,
        "private_key": device_key(),
        "transaction_id": TRANSACTION,
        "nonce": NONCE,
    }
    return scep.parse_response(data, **(options | changes))


def answered(data: bytes, recipient: x509.Certificate, **changes: object) -> ScepError:
    with pytest.raises(ScepError) as caught:
        receive(data, recipient, **changes)
    return caught.value


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("cipher", ["aes128", "aes256", "3des"])
def test_a_device_gets_a_certificate(cipher, digest):
    signer = throw_away()
    parsed = parse(request(signer_certificate=signer, cipher=cipher, digest=digest))
    assert parsed.message_type is MessageType.PKCS_REQ
    assert (parsed.transaction_id, parsed.sender_nonce) == (TRANSACTION, NONCE)
    assert (parsed.cipher, parsed.digest, parsed.challenge_password) == (cipher, digest, CHALLENGE)
    assert parsed.signer == signer
    spki = device_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert parsed.public_key_sha256 == hashlib.sha256(spki).digest()

    issued = issue(parsed.csr.public_key())
    data = reply(parsed, issued)
    assert receive(data, signer) == issued
    # The reply comes by the request's own cipher and digest.
    envelope, replied = cms.verify_attached(data)
    assert replied.digest == digest
    assert cms.decrypt(envelope, signer, private_key=device_key())[1] == cipher


def test_a_device_renews_with_its_identity_and_a_new_key():
    identity, new_key = issue(device_key().public_key()), rsa_identity("New key").key
    data = request(
        csr=scep.build_csr(new_key, common_name="Device", challenge=None),
        message_type=MessageType.RENEWAL_REQ,
        signer_certificate=identity,
    )
    parsed = parse(data)
    assert parsed.message_type is MessageType.RENEWAL_REQ
    assert parsed.challenge_password is None
    assert parsed.signer == identity
    renewed = issue(new_key.public_key())
    assert receive(reply(parsed, renewed), identity) == renewed


def test_a_refusal_reaches_the_device_with_its_reason():
    signer = throw_away()
    parsed = parse(request(signer_certificate=signer))
    head = scep.read_envelope(request())
    assert (head.transaction_id, head.sender_nonce, head.message_type) == (TRANSACTION, NONCE, 19)
    for origin in (parsed, head):
        for fail_info in FailInfo:
            error = answered(refuse(origin, fail_info, "The challenge is used up."), signer)
            assert (error.fail_info, error.text) == (fail_info, "The challenge is used up.")
    assert answered(refuse(head, FailInfo.BAD_TIME), signer).text == ""


def test_the_challenge_stays_out_of_the_repr():
    assert CHALLENGE not in repr(parse(request()))


@pytest.mark.parametrize("changes", [{"digest": "sha1"}, {"cipher": "des"}, {"digest": "sha1", "cipher": "des"}])
def test_old_algorithms_pass_only_in_legacy_mode(changes):
    signer = throw_away()
    data = request(signer_certificate=signer, **changes)
    error = refused(data)
    assert error.fail_info is FailInfo.BAD_ALG
    # The refusal itself is signed with a digest that we stand by.
    assert error.request_head.digest == "sha256"
    assert answered(refuse(error.request_head, error.fail_info), signer).fail_info is FailInfo.BAD_ALG

    parsed = parse(data, legacy=True)
    assert {name: getattr(parsed, name) for name in changes} == changes
    issued = issue(parsed.csr.public_key())
    assert receive(reply(parsed, issued), signer) == issued


def test_a_request_for_another_key_than_the_signers_is_refused():
    other = rsa_identity("New key").key
    error = refused(request(csr=scep.build_csr(other, common_name="Device", challenge=CHALLENGE)))
    assert error.fail_info is FailInfo.BAD_REQUEST
    assert error.request_head.transaction_id == TRANSACTION


def test_a_request_without_proof_of_the_key_is_refused():
    csr = scep.build_csr(device_key(), common_name="Device", challenge=CHALLENGE)
    broken = csr.public_bytes(Encoding.DER)
    broken = broken[:-1] + bytes((broken[-1] ^ 1,))
    error = refused(request(csr=x509.load_der_x509_csr(broken)))
    assert error.fail_info is FailInfo.BAD_MESSAGE_CHECK
    assert error.request_head is not None


def test_what_cannot_be_decrypted_or_read_is_refused_in_the_same_words():
    attributes = messages.message_attributes(MessageType.PKCS_REQ, TRANSACTION, sender_nonce=NONCE)
    good = cms.encrypt(b"no request", authority().certificate)
    texts = {
        refused(cms.sign(content, throw_away(), private_key=device_key(), attributes=attributes)).text
        for content in (good, good[:-1] + bytes((good[-1] ^ 1,)), cms.encrypt(b"", authority().certificate))
    }
    assert len(texts) == 1


def test_a_request_to_another_ca_is_refused():
    error = refused(request(ca=rsa_identity("Other CA").certificate))
    assert error.fail_info is FailInfo.BAD_MESSAGE_CHECK
    assert error.request_head.sender_nonce == NONCE


def test_a_signer_who_cannot_receive_is_refused():
    device = ec_identity()
    csr = scep.build_csr(device.key, common_name="Device", challenge=CHALLENGE)
    data = request(csr=csr, signer_certificate=device.certificate, signer_key=device.key)
    assert refused(data).fail_info is FailInfo.BAD_ALG


@pytest.mark.parametrize("kind", [MessageType.CERT_REP, MessageType.CERT_POLL, MessageType.GET_CERT, 99])
def test_other_kinds_of_messages_are_refused(kind):
    attributes = messages.message_attributes(MessageType.PKCS_REQ, TRANSACTION, sender_nonce=NONCE)
    attributes[messages.MESSAGE_TYPE] = messages.printable(str(int(kind)))
    content = cms.encrypt(b"x", authority().certificate)
    error = refused(cms.sign(content, throw_away(), private_key=device_key(), attributes=attributes))
    assert error.fail_info is FailInfo.BAD_REQUEST
    assert error.request_head.message_type == kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (messages.TRANSACTION_ID, None),
        (messages.TRANSACTION_ID, messages.printable("")),
        (messages.TRANSACTION_ID, messages.printable("x" * 256)),
        (messages.TRANSACTION_ID, messages.printable("a\nb")),
        (messages.TRANSACTION_ID, der.octets(b"abc")),
        (messages.TRANSACTION_ID, messages.printable("a") + messages.printable("b")),
        (messages.SENDER_NONCE, None),
        (messages.SENDER_NONCE, der.octets(b"")),
        (messages.SENDER_NONCE, der.octets(bytes(65))),
        (messages.MESSAGE_TYPE, None),
        (messages.MESSAGE_TYPE, messages.printable("-1")),
        (messages.MESSAGE_TYPE, messages.printable("9" * 200)),
    ],
)
def test_missing_and_odd_attributes_are_refused_without_a_head(name, value):
    attributes = messages.message_attributes(MessageType.PKCS_REQ, TRANSACTION, sender_nonce=NONCE)
    if value is None:
        del attributes[name]
    else:
        attributes[name] = value
    data = cms.sign(b"x", throw_away(), private_key=device_key(), attributes=attributes)
    assert refused(data).request_head is None
    with pytest.raises(ScepError):
        scep.read_envelope(data)


def test_attributes_that_nobody_signed_are_refused():
    data = cms.sign_detached(b"", throw_away(), private_key=device_key(), signed_attributes=False)
    assert refused(data).request_head is None


def test_a_changed_transaction_id_is_refused():
    changed = request().replace(TRANSACTION.encode(), TRANSACTION[::-1].encode())
    error = refused(changed)
    assert error.fail_info is FailInfo.BAD_MESSAGE_CHECK
    assert error.request_head.transaction_id == TRANSACTION[::-1]


@pytest.mark.parametrize("hostile", [b"", b"\x30\x80", b"<html>", der.sequence(algorithms.SIGNED_DATA)])
def test_what_is_no_message_is_refused_on_both_sides(hostile):
    assert refused(hostile).request_head is None
    assert answered(hostile, throw_away()).fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_a_reply_to_something_else_is_not_believed():
    signer = throw_away()
    parsed = parse(request(signer_certificate=signer))
    data = reply(parsed, issue(parsed.csr.public_key()))
    assert receive(data, signer)
    assert "transaction" in answered(data, signer, transaction_id="other").text
    assert "another request" in answered(data, signer, nonce=bytes(16)).text
    assert "CA" in answered(data, signer, ca=rsa_identity("Other CA").certificate).text
    assert "CertRep" in answered(request(signer_certificate=signer), signer, ca=signer).text
    assert "certificate" in answered(data, rsa_identity("Other").certificate).text


def test_a_reply_that_another_key_signed_is_not_believed():
    signer = throw_away()
    parsed = parse(request(signer_certificate=signer))
    impostor = rsa_identity("Impostor")
    forged = scep.success(
        parsed,
        issue(parsed.csr.public_key()),
        ca=impostor.certificate,
        private_key=impostor.key,
        nonce=REPLY_NONCE,
    )
    assert "not signed by the CA" in answered(forged, signer).text


def test_a_reply_without_a_certificate_and_a_pending_one_are_errors():
    signer = throw_away()
    parsed = parse(request(signer_certificate=signer))
    assert "no issued" in answered(reply(parsed, authority().certificate), signer).text
    attributes = messages.message_attributes(
        MessageType.CERT_REP, TRANSACTION, sender_nonce=REPLY_NONCE, recipient_nonce=NONCE
    )
    for status, odd in (("3", "asked again"), ("2", ""), ("9", "")):
        attributes[messages.PKI_STATUS] = messages.printable(status)
        data = cms.sign(None, authority().certificate, private_key=authority().key, attributes=attributes)
        assert odd in answered(data, signer).text


def test_challenges_in_latin_1_are_read():
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(throw_away().subject)
        .add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, "schön".encode("latin-1"), _tag=_ASN1Type.T61String)
        .sign(device_key(), hashes.SHA256())
    )
    assert parse(request(csr=csr)).challenge_password == "schön"


def test_capabilities_name_a_digest_on_each_line_of_its_own():
    lines = scep.capabilities(legacy=False).decode("ascii").splitlines()
    assert {"POSTPKIOperation", "SHA-256", "AES", "DES3", "SCEPStandard", "Renewal"} <= set(lines)
    assert "SHA-1" not in lines
    assert "SHA-1" in scep.capabilities(legacy=True).decode("ascii").splitlines()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_mutated_requests_raise_only_scep_errors_and_never_change_what_is_asked(data):
    # Every request has other keys and so another length: drawing positions by its length would not be repeatable.
    message = bytearray(request())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 100_000)) % len(message)
        if data.draw(st.booleans()):
            message[at] = data.draw(st.integers(0, 255))
        else:
            message[at:at] = data.draw(st.binary(max_size=4))
    try:
        parsed = parse(bytes(message), legacy=data.draw(st.booleans()))
    except ScepError:
        return
    assert (parsed.transaction_id, parsed.sender_nonce, parsed.message_type) == (TRANSACTION, NONCE, 19)
    assert (parsed.challenge_password, parsed.csr.public_key()) == (CHALLENGE, device_key().public_key())


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_plain_text_in_a_well_signed_request_raises_only_scep_errors(plain):
    attributes = messages.message_attributes(MessageType.PKCS_REQ, TRANSACTION, sender_nonce=NONCE)
    for content in (plain, cms.encrypt(plain, authority().certificate)):
        refused(cms.sign(content, throw_away(), private_key=device_key(), attributes=attributes))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 255))
def test_mutated_request_bodies_inside_good_envelopes_raise_only_scep_errors(at, byte):
    csr = bytearray(scep.build_csr(device_key(), common_name="Device", challenge=CHALLENGE).public_bytes(Encoding.DER))
    csr[at % len(csr)] = byte
    attributes = messages.message_attributes(MessageType.PKCS_REQ, TRANSACTION, sender_nonce=NONCE)
    content = cms.encrypt(bytes(csr), authority().certificate)
    try:
        parsed = parse(cms.sign(content, throw_away(), private_key=device_key(), attributes=attributes))
    except ScepError:
        return
    assert parsed.challenge_password == CHALLENGE


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 255))
def test_mutated_replies_raise_only_scep_errors_and_never_bring_another_certificate(at, byte):
    signer = throw_away()
    parsed = parse(request(signer_certificate=signer))
    issued = issue(parsed.csr.public_key())
    data = bytearray(reply(parsed, issued))
    data[at % len(data)] = byte
    try:
        assert receive(bytes(data), signer) == issued
    except ScepError:
        return
