"""What Django sees of the server's environment: the standard's keys, and none of the configured secrets."""

from mdmportal.wsgi import CutEnvironment

SECRETS = {
    "SECRET_KEY": "secret-one",
    "PORTAL_ENCRYPTION_KEYS": "secret-two",
    "DATABASE_URL": "postgres://portal:secret-three@db.example.com/portal",
    "CELERY_BROKER_URL": "redis://:secret-four@redis.example.com",
    "EMAIL_URL": "smtp://portal:secret-five@mail.example.com",
    "PORTAL_ALERT_WEBHOOK_SECRET": "secret-six",
    "wsgi_like": "secret-seven",
}


def test_no_configured_secret_reaches_the_request():
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return [b""]

    request = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/mdm/connect",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_MDM_SIGNATURE": "x",
        "wsgi.input": None,
    }
    list(CutEnvironment(application)({**SECRETS, **request}, lambda *_: None))
    assert seen == request


def test_a_variable_of_the_process_is_not_taken_for_a_header():
    seen = {}

    def application(environ, start_response):
        seen.update(environ)
        return [b""]

    cut = CutEnvironment(application, {"HTTP_PROXY": "http://user:secret@proxy.example.com"})
    list(cut({"HTTP_PROXY": "http://user:secret@proxy.example.com", "HTTP_HOST": "x"}, lambda *_: None))
    assert seen == {"HTTP_HOST": "x"}


def test_a_request_for_a_foreign_host_name_is_one_line_in_the_log(client, caplog):
    assert client.get("/admin/login/", headers={"host": "stranger.example.com"}).status_code == 400
    (record,) = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert record.exc_info is None
