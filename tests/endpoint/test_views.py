"""The HTTP side of the door: methods, sizes, no login, no CSRF page, no secrets in logs."""

import io
import logging
import plistlib

import pytest
from django.test import Client

from endpoint import bodies
from endpoint.errors import BadRequest, BodyTooLarge, Busy
from endpoint.log_filter import CutTokens, cut_tokens
from tests.endpoint.phone import Phone, invite

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/mdm/connect", "/mdm/checkin"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "PROPFIND"])
def test_devices_only_put(client, path, method):
    answer = client.generic(method, path)
    assert (answer.status_code, answer["Allow"]) == (405, "PUT")


@pytest.mark.parametrize("path", ["/mdm/connect", "/mdm/checkin", "/scep"])
def test_there_is_no_csrf_page_and_no_login(path):
    strict = Client(enforce_csrf_checks=True)
    for method in ("PUT", "POST"):
        answer = strict.generic(method, path, b"x")
        assert answer.status_code in {400, 405}
        assert b"html" not in answer.content.lower()
        assert "Location" not in answer


def test_a_body_beyond_django_s_own_limit_is_read(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    phone = Phone().enroll()
    assert phone.idle().status_code == 200


def test_a_body_beyond_our_limit_is_413(client, settings):
    settings.DEVICE_BODY_LIMIT = 1000
    assert client.generic("PUT", "/mdm/connect", b"x" * 1001).status_code == 413
    assert client.generic("PUT", "/mdm/connect", b"x" * 1000).status_code == 400


def environ(body, **more):
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **more}


def test_a_body_without_length_is_read_to_its_end(settings):
    chunked = environ(b"abc", **{"CONTENT_LENGTH": "", "wsgi.input_terminated": True})
    with bodies.read(chunked, limit=10) as body:
        assert body == b"abc"
    chunked["wsgi.input"] = io.BytesIO(b"x" * 11)
    settings.DEVICE_BODY_INLINE = 4
    with pytest.raises(BodyTooLarge), bodies.read(chunked, limit=10):
        pass


def test_a_body_that_ends_early_is_refused():
    with pytest.raises(BadRequest), bodies.read(environ(b"abc", CONTENT_LENGTH="5"), limit=10):
        pass


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 30, "\u0663"])
def test_a_length_that_is_no_number_is_refused(length):
    with pytest.raises(BadRequest), bodies.read(environ(b"abc", CONTENT_LENGTH=length), limit=10):
        pass


def test_few_large_bodies_are_read_at_once(settings):
    settings.DEVICE_BODY_INLINE = 2
    with bodies.read(environ(b"abc"), limit=10), bodies.read(environ(b"abc"), limit=10):
        with pytest.raises(Busy), bodies.read(environ(b"abc"), limit=10):
            pass
        with bodies.read(environ(b"ab"), limit=10) as small:
            assert small == b"ab"
    with bodies.read(environ(b"abc"), limit=10) as large:
        assert large == b"abc"


def test_an_interrupted_body_gives_its_place_back(settings):
    settings.DEVICE_BODY_INLINE = 2
    for _ in range(bodies.LARGE_AT_A_TIME + 1):
        with pytest.raises(BadRequest), bodies.read(environ(b"abc", CONTENT_LENGTH="9"), limit=10):
            pass


def test_an_invitation_s_token_is_cut_from_django_s_request_log(client, caplog):
    _, token = invite()
    with caplog.at_level(logging.DEBUG):
        client.get(f"/enroll/{token}/nothing")
        client.get(f"/enroll/{token}x/")
        client.post(f"/enroll/{token}/")
    assert "/enroll/" in caplog.text
    assert token not in caplog.text


def test_the_filter_changes_nothing_else():
    record = logging.LogRecord("x", 20, "", 0, "%s: %s", ("Not Found", "/mdm/odd"), None)
    assert CutTokens().filter(record)
    assert record.args == ("Not Found", "/mdm/odd")
    assert cut_tokens("GET /enroll/abc/profile?x HTTP/1.1") == "GET /enroll/…/profile?x HTTP/1.1"


def test_no_secret_of_a_message_reaches_a_log(caplog):
    phone = Phone().enroll()
    with caplog.at_level(logging.DEBUG):
        phone.token_update(UnlockToken=b"unlock-secret", PushMagic="magic-secret")
        phone.token_update(PushMagic="magic-secret", Token=None)
        phone.report("Acknowledged", "X", {"Secret": "report-secret"})
        phone.put("/mdm/connect", plistlib.dumps({"Secret": "report-secret"}))
    for secret in ("unlock-secret", "magic-secret", "report-secret"):
        assert secret not in caplog.text
