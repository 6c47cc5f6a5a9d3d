"""Who is believed: the signature over these very bytes, or the one header of a trusted proxy."""

import base64
import plistlib
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoint.authentication import authenticate, is_trusted
from endpoint.checks import certificate_header_can_be_believed
from endpoint.errors import CertificateHeaderError, NotAuthenticated
from endpoint.exchange import DeviceRequest
from tests.certificates.requests import device_key
from tests.endpoint.phone import Phone

PROXY = "192.0.2.7"


def rfc9440(der):
    return ":" + base64.b64encode(der).decode() + ":"


def nginx(certificate):
    return quote(certificate.public_bytes(Encoding.PEM).decode(), safe="")


@pytest.fixture
def proxied(settings):
    settings.PORTAL_TRUSTED_PROXIES = ("192.0.2.0/28", "2001:db8::1")
    settings.PORTAL_CERTIFICATE_HEADER = "X-Client-Cert"
    settings.PORTAL_CERTIFICATE_HEADER_FORMAT = "rfc9440"
    return settings


@pytest.fixture
def certificate(now):
    from protocol.scep import self_signed

    return self_signed(device_key(), common_name="device", now=now)


def ask(value, *, name="x-client-cert", address=PROXY, **more):
    return authenticate(
        DeviceRequest("PUT", "/mdm/connect", headers={name: value, **more}, body=b"body", remote_addr=address)
    )


def fingerprint(certificate):
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256())


def test_a_trusted_proxy_s_header_names_the_certificate(proxied, certificate):
    der = certificate.public_bytes(Encoding.DER)
    assert ask(rfc9440(der)) == fingerprint(certificate)
    assert ask(rfc9440(der), address="2001:db8::1") == fingerprint(certificate)
    assert ask(rfc9440(der), address="::ffff:192.0.2.7") == fingerprint(certificate)


def test_nginx_s_escaped_pem_is_read_with_its_plus_signs(proxied, certificate):
    proxied.PORTAL_CERTIFICATE_HEADER_FORMAT = "nginx"
    assert ask(nginx(certificate)) == fingerprint(certificate)
    # AWS leaves plus, slash and equals signs as they are.
    pem = certificate.public_bytes(Encoding.PEM).decode()
    assert "+" in pem
    assert ask(quote(pem, safe="+/=")) == fingerprint(certificate)


@pytest.mark.parametrize("address", ["192.0.2.16", "203.0.113.9", "::1", "", "nowhere", "192.0.2.7, 10.0.0.1"])
def test_the_header_from_anywhere_else_is_refused(proxied, certificate, address):
    with pytest.raises(CertificateHeaderError):
        ask(rfc9440(certificate.public_bytes(Encoding.DER)), address=address)


def test_the_header_from_anywhere_else_spoils_even_a_good_signature(proxied, certificate):
    from protocol.cms import sign_detached

    signature = base64.b64encode(sign_detached(b"body", certificate, private_key=device_key())).decode()
    with pytest.raises(CertificateHeaderError):
        ask(rfc9440(b"x"), address="203.0.113.9", **{"mdm-signature": signature})


def test_by_default_nobody_is_trusted(settings):
    settings.PORTAL_CERTIFICATE_HEADER = "X-Client-Cert"
    with pytest.raises(CertificateHeaderError):
        ask(":AAAA:", address="127.0.0.1")
    assert not is_trusted("127.0.0.1")


def test_a_header_that_is_not_configured_is_nothing(certificate):
    with pytest.raises(NotAuthenticated, match="neither"):
        ask(rfc9440(certificate.public_bytes(Encoding.DER)))


def test_a_second_copy_is_refused(proxied, certificate):
    value = rfc9440(certificate.public_bytes(Encoding.DER))
    with pytest.raises(CertificateHeaderError, match="more than once"):
        ask(f"{value},{value}")
    with pytest.raises(CertificateHeaderError, match="more than once"):
        ask(value, X_Client_Cert=value)


def test_the_underscore_spelling_is_no_way_around_the_proxy(proxied, certificate):
    with pytest.raises(CertificateHeaderError):
        ask(rfc9440(certificate.public_bytes(Encoding.DER)), name="X_Client_Cert", address="203.0.113.9")


@pytest.mark.parametrize(
    "value", ["AAAA", ":AAAA", ":A:", ":A A:", "::", ":*:", ":\u00e9:", "-----BEGIN CERTIFICATE-----"]
)
def test_only_the_configured_format_is_read(proxied, value):
    with pytest.raises(CertificateHeaderError):
        ask(value)


def test_an_empty_header_says_that_there_was_no_certificate(proxied):
    with pytest.raises(NotAuthenticated, match="neither"):
        ask("")


def test_header_and_signature_must_agree(proxied, certificate, now):
    from protocol.cms import sign_detached
    from protocol.scep import self_signed

    other = self_signed(device_key(2), common_name="other", now=now)
    signature = base64.b64encode(sign_detached(b"body", certificate, private_key=device_key())).decode()
    assert ask(rfc9440(certificate.public_bytes(Encoding.DER)), **{"mdm-signature": signature})
    with pytest.raises(NotAuthenticated, match="different"):
        ask(rfc9440(other.public_bytes(Encoding.DER)), **{"mdm-signature": signature})


@pytest.mark.django_db
def test_a_proxied_device_connects_and_a_stranger_with_its_certificate_does_not(proxied):
    phone = Phone().enroll()
    header = {"HTTP_X_CLIENT_CERT": rfc9440(phone.der)}
    assert phone.idle(**header, REMOTE_ADDR=PROXY).status_code == 200
    assert phone.idle(**header, REMOTE_ADDR="203.0.113.9").status_code == 400
    assert phone.idle(HTTP_X_FORWARDED_FOR=PROXY, **header, REMOTE_ADDR="203.0.113.9").status_code == 400
    twice = {"HTTP_X_CLIENT_CERT": f"{rfc9440(phone.der)},{rfc9440(phone.der)}"}
    assert phone.idle(**twice, REMOTE_ADDR=PROXY).status_code == 400


@given(value=st.text(max_size=60) | st.binary(max_size=40).map(lambda data: f":{base64.b64encode(data).decode()}:"),
       form=st.sampled_from(["rfc9440", "nginx"]), signed=st.booleans())  # fmt: skip
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.django_db
def test_any_header_gets_a_documented_status(proxied, value, form, signed):
    proxied.PORTAL_CERTIFICATE_HEADER_FORMAT = form
    body = plistlib.dumps({"UDID": "X", "Status": "Idle"})
    name = "HTTP_MDM_SIGNATURE" if signed else "HTTP_X_CLIENT_CERT"
    for path in ("/mdm/connect", "/mdm/checkin"):
        assert Phone().put(path, body, **{name: value, "REMOTE_ADDR": PROXY}).status_code == 400


def test_mistakes_in_the_settings_are_named(settings):
    assert certificate_header_can_be_believed(None) == []
    settings.PORTAL_TRUSTED_PROXIES = ("10.0.0.0/8", "proxy.example.com")
    settings.PORTAL_CERTIFICATE_HEADER = "X-Client-Cert"
    settings.PORTAL_CERTIFICATE_HEADER_FORMAT = "guess"
    found = {message.id for message in certificate_header_can_be_believed(None)}
    assert found == {"endpoint.E001", "endpoint.E002", "endpoint.E004"}
    settings.PORTAL_TRUSTED_PROXIES = ()
    assert "endpoint.E003" in {message.id for message in certificate_header_can_be_believed(None)}


def test_a_header_name_with_a_second_spelling_needs_the_operator_s_word(proxied):
    assert [message.id for message in certificate_header_can_be_believed(None)] == ["endpoint.E004"]
    proxied.PORTAL_PROXY_DROPS_UNDERSCORES = True
    assert certificate_header_can_be_believed(None) == []
    proxied.PORTAL_PROXY_DROPS_UNDERSCORES = False
    proxied.PORTAL_CERTIFICATE_HEADER = "ClientCert"
    assert certificate_header_can_be_believed(None) == []
