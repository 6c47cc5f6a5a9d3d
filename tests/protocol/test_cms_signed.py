"""SignedData: what verifies, and the many ways in which it must not."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import cms
from protocol.cms import algorithms, der, signed
from protocol.errors import AlgorithmError, SignatureError
from tests.protocol.keyring import ec_identity, make_certificate, rsa_identity

BODY = b"<?xml version='1.0'?><plist><dict/></plist>"


def sign(body: bytes = BODY, **options: object) -> bytes:
    device = rsa_identity()
    return cms.sign_detached(body, device.certificate, private_key=device.key, **options)


def assemble(signer_infos, certificates, *, content=None, content_type=algorithms.DATA) -> bytes:
    """A SignedData from parts that need not fit each other."""
    encapsulated = b"" if content is None else der.encode(0xA0, der.octets(content))
    body = der.sequence(
        der.integer(1),
        der.set_of([algorithms.digest_algorithm("sha256")]),
        der.sequence(content_type, encapsulated),
        der.encode(0xA0, *certificates),
        der.set_of(signer_infos),
    )
    return der.sequence(algorithms.SIGNED_DATA, der.encode(0xA0, body))


def signer_info(attributes: bytes, *, identity=None, signature: bytes | None = None) -> bytes:
    """A SignerInfo over the given attribute elements, signed well unless a signature is given."""
    identity = identity or rsa_identity()
    algorithm, good = algorithms.sign(identity.key, der.encode(der.SET, attributes), digest="sha256")
    return der.sequence(
        der.integer(1),
        der.sequence(signed.issuer_and_serial(identity.der)),
        algorithms.digest_algorithm("sha256"),
        der.encode(0xA0, attributes),
        algorithm,
        der.octets(good if signature is None else signature),
    )


def attribute(name: bytes, *values: bytes) -> bytes:
    return der.sequence(name, der.encode(der.SET, *values))


def digest_of(body: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(body)
    return der.octets(digest.finalize())


CONTENT_TYPE = attribute(algorithms.CONTENT_TYPE, algorithms.DATA)
MESSAGE_DIGEST = attribute(algorithms.MESSAGE_DIGEST, digest_of(BODY))


@pytest.mark.parametrize("signed_attributes", [True, False])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("identity", [rsa_identity, ec_identity])
def test_what_we_sign_we_verify(identity, digest, signed_attributes):
    device = identity()
    signature = cms.sign_detached(
        BODY, device.certificate, private_key=device.key, digest=digest, signed_attributes=signed_attributes
    )
    signer = cms.verify_detached(signature, BODY)
    assert signer == cms.Signer(device.der, digest, signed_attributes)
    assert signer.certificate == device.certificate
    assert signer.sha256 == device.certificate.fingerprint(hashes.SHA256())


@pytest.mark.parametrize("signed_attributes", [True, False])
def test_a_tampered_body_is_refused(signed_attributes):
    signature = sign(signed_attributes=signed_attributes)
    for tampered in (BODY + b"\n", BODY[:-1], b"", BODY.replace(b"dict", b"tict")):
        with pytest.raises(SignatureError):
            cms.verify_detached(signature, tampered)


def test_a_message_digest_alone_does_not_make_a_signature():
    forged = signer_info(CONTENT_TYPE + MESSAGE_DIGEST, signature=b"\x01" * 256)
    with pytest.raises(SignatureError, match="does not verify"):
        cms.verify_detached(assemble([forged], [rsa_identity().der]), BODY)


def test_a_good_assembled_message_verifies():
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    assert cms.verify_detached(assemble([good], [rsa_identity().der]), BODY).digest == "sha256"


def test_two_signers_are_refused():
    good, other = signer_info(CONTENT_TYPE + MESSAGE_DIGEST), signer_info(MESSAGE_DIGEST + CONTENT_TYPE)
    with pytest.raises(SignatureError, match="signers"):
        cms.verify_detached(assemble([good, other], [rsa_identity().der]), BODY)


def test_no_signer_is_refused():
    with pytest.raises(SignatureError, match="signers"):
        cms.verify_detached(cms.certs_only([rsa_identity().certificate]), BODY)


def test_a_swapped_certificate_is_refused():
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    with pytest.raises(SignatureError, match="not in the message"):
        cms.verify_detached(assemble([good], [rsa_identity("Other").der]), BODY)


def test_a_certificate_with_the_same_name_and_number_but_another_key_is_refused():
    device = rsa_identity()
    twin_key = rsa_identity("Other").key
    twin = (
        x509.CertificateBuilder()
        .subject_name(device.certificate.subject)
        .issuer_name(device.certificate.issuer)
        .public_key(twin_key.public_key())
        .serial_number(device.certificate.serial_number)
        .not_valid_before(device.certificate.not_valid_before_utc)
        .not_valid_after(device.certificate.not_valid_after_utc)
        .sign(twin_key, hashes.SHA256())
    )
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    swapped = assemble([good], [twin.public_bytes(Encoding.DER)])
    with pytest.raises(SignatureError, match="does not verify"):
        cms.verify_detached(swapped, BODY)


def test_the_signers_certificate_is_found_among_others():
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    message = assemble([good], [rsa_identity("Other").der, rsa_identity().der])
    assert cms.verify_detached(message, BODY).certificate_der == rsa_identity().der


def by_key_identifier(identifier: bytes) -> bytes:
    """A good SignerInfo that names its certificate by a key identifier."""
    info = der.Reader(signer_info(CONTENT_TYPE + MESSAGE_DIGEST)).enter(der.SEQUENCE)
    info.skip(der.INTEGER)
    info.skip(der.SEQUENCE)
    return der.sequence(der.integer(3), der.encode(0x80, identifier), info.rest())


def test_a_certificate_is_found_by_its_key_identifier_alone():
    certificates = [rsa_identity("Other").der, rsa_identity().der]
    right = signed.key_identifier(rsa_identity().certificate)
    wrong = signed.key_identifier(ec_identity().certificate)
    assert right
    message = assemble([by_key_identifier(right)], certificates)
    assert cms.verify_detached(message, BODY).certificate_der == rsa_identity().der
    for identifier in (wrong, right[:-1], b""):
        with pytest.raises(SignatureError, match=r"not in the message|not named"):
            cms.verify_detached(assemble([by_key_identifier(identifier)], certificates), BODY)


def test_a_scheme_that_names_another_digest_is_refused():
    sha384_with_rsa = der.oid("1.2.840.113549.1.1.12")
    mixed = signer_info(CONTENT_TYPE + MESSAGE_DIGEST).replace(
        der.sequence(algorithms.RSA_ENCRYPTION, b"\x05\0"), der.sequence(sha384_with_rsa, b"\x05\0")
    )
    with pytest.raises(AlgorithmError):
        cms.verify_detached(assemble([mixed], [rsa_identity().der]), BODY)


def test_further_attributes_with_several_values_do_no_harm():
    further = attribute(der.oid("1.2.840.113635.100.9.2"), der.sequence(der.integer(1)), der.sequence(der.integer(2)))
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST + further)
    assert cms.verify_detached(assemble([good], [rsa_identity().der]), BODY).has_signed_attributes


@pytest.mark.parametrize(
    "attributes",
    [
        MESSAGE_DIGEST,
        CONTENT_TYPE,
        b"",
        CONTENT_TYPE + MESSAGE_DIGEST + MESSAGE_DIGEST,
        CONTENT_TYPE + attribute(algorithms.MESSAGE_DIGEST, digest_of(BODY), digest_of(BODY)),
        CONTENT_TYPE + attribute(algorithms.MESSAGE_DIGEST),
        CONTENT_TYPE + attribute(algorithms.MESSAGE_DIGEST, digest_of(b"another")),
        attribute(algorithms.CONTENT_TYPE, algorithms.SIGNED_DATA) + MESSAGE_DIGEST,
    ],
    ids=["no type", "no digest", "none", "twice", "two values", "no value", "other digest", "other type"],
)
def test_wrong_signed_attributes_are_refused(attributes):
    with pytest.raises(SignatureError):
        cms.verify_detached(assemble([signer_info(attributes)], [rsa_identity().der]), BODY)


def test_content_that_is_not_plain_data_is_refused():
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    message = assemble([good], [rsa_identity().der], content_type=algorithms.SIGNED_DATA)
    with pytest.raises(SignatureError, match="plain data"):
        cms.verify_detached(message, BODY)


def test_signed_attributes_do_not_pass_as_content():
    """The signature over a SET of attributes also verifies over that SET as plain content."""
    attributes = der.encode(der.SET, CONTENT_TYPE + MESSAGE_DIGEST)
    message = sign(attributes, signed_attributes=False)
    with pytest.raises(SignatureError, match="attributes of another"):
        cms.verify_detached(message, attributes)


def test_a_detached_signature_with_other_content_inside_is_refused():
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    with pytest.raises(SignatureError, match="content of its own"):
        cms.verify_detached(assemble([good], [rsa_identity().der], content=b"another"), BODY)
    for harmless in (b"", BODY):
        message = assemble([good], [rsa_identity().der], content=harmless)
        assert cms.verify_detached(message, BODY).digest == "sha256"
        with pytest.raises(SignatureError):
            cms.verify_detached(message, BODY + b" ")


def test_an_attached_message_gives_its_content_and_signer():
    device, authority = rsa_identity(), rsa_identity("Authority")
    data = cms.sign_attached(BODY, device.certificate, private_key=device.key, chain=[authority.certificate])
    content, signer = cms.verify_attached(data)
    assert (content, signer.certificate_der) == (BODY, device.der)
    assert set(cms.load_certs_only(data)) == {device.certificate, authority.certificate}
    assert cms.verify_attached(data + b"\r\n")[0] == BODY
    with pytest.raises(SignatureError):
        cms.verify_attached(data + b"x")
    with pytest.raises(SignatureError):
        cms.verify_attached(data.replace(BODY, BODY.replace(b"dict", b"tict")))
    with pytest.raises(SignatureError, match="no content"):
        cms.verify_attached(sign())


def test_bytes_after_a_detached_signature_are_refused():
    with pytest.raises(SignatureError):
        cms.verify_detached(sign() + b"\0", BODY)


def test_unaccepted_digests_and_keys_are_named_as_such():
    md5 = sign().replace(algorithms.DIGEST_OIDS["sha256"][2:], b"\x2a" * 9)
    with pytest.raises(AlgorithmError):
        cms.verify_detached(md5, BODY)
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = make_certificate(key.public_key(), key, name="Edwards")
    info = der.sequence(
        der.integer(1),
        der.sequence(signed.issuer_and_serial(certificate.public_bytes(Encoding.DER))),
        algorithms.digest_algorithm("sha512"),
        der.sequence(der.oid("1.3.101.112")),
        der.octets(key.sign(BODY)),
    )
    with pytest.raises(AlgorithmError):
        cms.verify_detached(assemble([info], [certificate.public_bytes(Encoding.DER)]), BODY)


def test_a_scheme_of_another_key_type_is_refused():
    device, elliptic = rsa_identity(), ec_identity()
    for mine, other in ((device, elliptic), (elliptic, device)):
        info = der.Reader(signer_info(CONTENT_TYPE + MESSAGE_DIGEST, identity=other)).enter(der.SEQUENCE)
        info.skip(der.INTEGER)
        info.skip(der.SEQUENCE)
        swapped = der.sequence(der.integer(1), der.sequence(signed.issuer_and_serial(mine.der)), info.rest())
        with pytest.raises(AlgorithmError):
            cms.verify_detached(assemble([swapped], [mine.der]), BODY)


def test_a_message_with_very_many_certificates_is_refused():
    good = signer_info(CONTENT_TYPE + MESSAGE_DIGEST)
    with pytest.raises(SignatureError, match="too many"):
        cms.verify_detached(assemble([good], [rsa_identity().der] * 100), BODY)


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"0",
        b"\x30\x80",
        b"\x30\x80" * 100_000,
        b"\x24\x80" * 5_000 + b"\0\0" * 5_000,
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"\x3f\x81\x00",
        b"<plist/>",
        der.sequence(algorithms.SIGNED_DATA),
        der.sequence(algorithms.SIGNED_DATA, der.encode(0xA0, der.sequence())),
    ],
)
def test_hostile_structures_are_refused_in_kind(hostile):
    for function in (cms.verify_attached, cms.load_certs_only, lambda data: cms.verify_detached(data, BODY)):
        with pytest.raises(SignatureError):
            function(hostile)


def test_what_looks_like_cms_is_told_from_other_files():
    device = rsa_identity()
    assert cms.looks_like_cms(sign())
    assert cms.looks_like_cms(cms.encrypt(b"secret", device.certificate))
    assert cms.looks_like_cms(b"\x30\x80" + algorithms.SIGNED_DATA + b"\xa0\x80")
    assert not cms.looks_like_cms(BODY)
    assert not cms.looks_like_cms(b"bplist00")
    assert not cms.looks_like_cms(device.der)
    assert not cms.looks_like_cms(b"")


def test_bags_of_certificates_agree_with_cryptography():
    pair = [rsa_identity("Zeta").certificate, ec_identity("Alpha").certificate]
    for bag in (cms.certs_only(pair), pkcs7.serialize_certificates(pair, Encoding.DER)):
        assert set(cms.load_certs_only(bag)) == set(pkcs7.load_der_pkcs7_certificates(bag)) == set(pair)
    assert cms.load_certs_only(cms.certs_only([])) == []


def test_what_cryptography_signs_we_verify():
    device = rsa_identity()
    builder = pkcs7.PKCS7SignatureBuilder().set_data(BODY)
    data = builder.add_signer(device.certificate, device.key, hashes.SHA384()).sign(
        Encoding.DER, [pkcs7.PKCS7Options.Binary]
    )
    content, signer = cms.verify_attached(data)
    assert (content, signer.digest) == (BODY, "sha384")


def indefinite(element: bytes) -> bytes:
    """The same element in BER: indefinite lengths, octet strings in segments of 7 bytes."""
    tag, start, stop = der.header(element, 0, len(element))
    content = element[start:stop]
    if tag == der.OCTET_STRING:
        return b"\x24\x80" + b"".join(der.octets(content[i : i + 7]) for i in range(0, len(content), 7)) + b"\0\0"
    if not tag & der.CONSTRUCTED:
        return element
    children, parts = der.Reader(content), []
    while children:
        parts.append(indefinite(children.whole()))
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


@pytest.mark.parametrize("signed_attributes", [True, False])
def test_indefinite_lengths_everywhere_verify(signed_attributes):
    signature = sign(signed_attributes=signed_attributes)
    ber = indefinite(signature)
    assert der.normalise(ber) == signature
    assert cms.verify_detached(ber, BODY) == cms.verify_detached(signature, BODY)
    with pytest.raises(SignatureError):
        cms.verify_detached(ber, BODY + b" ")


@pytest.mark.parametrize("curve", [ec.SECP384R1, ec.SECP521R1])
def test_other_curves_verify(curve):
    device = ec_identity("Curve", curve)
    signature = cms.sign_detached(BODY, device.certificate, private_key=device.key, digest="sha384")
    assert cms.verify_detached(signature, BODY).certificate_der == device.der


def test_a_short_rsa_key_is_refused():
    class Short:
        def public_key(self):
            return rsa.RSAPublicNumbers(65537, (1 << 1022) + 9).public_key()

    with pytest.raises((AlgorithmError, ValueError)):
        algorithms.public_key_of(Short())


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_mutation_of_a_signature_verifies_as_someone_else_or_raises_anything_else(data):
    """Parts that nothing signs (versions, NULLs) may change; who signed may not."""
    signature = bytearray(sign(signed_attributes=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(signature) - 1))
        if data.draw(st.booleans()):
            signature[at] = data.draw(st.integers(0, 255))
        else:
            signature[at:at] = data.draw(st.binary(max_size=4))
    try:
        signer = cms.verify_detached(bytes(signature), BODY)
    except SignatureError:
        return
    assert signer.certificate.public_key() == rsa_identity().key.public_key()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 7))
def test_no_flipped_bit_lets_another_body_through(at, bit):
    signature = bytearray(sign())
    signature[at % len(signature)] ^= 1 << bit
    with pytest.raises(SignatureError):
        cms.verify_detached(bytes(signature), BODY + b" ")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_only_signature_errors(data):
    for function in (cms.verify_attached, cms.load_certs_only, der.normalise):
        try:
            function(data)
        except SignatureError:
            continue
        assert function is der.normalise
    cms.looks_like_cms(data)
