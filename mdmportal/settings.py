"""Django settings, read from the environment only (see `.env.example`).

Nothing here raises on a wrong value: `mdmportal.environment` keeps the mistake and `mdmportal.checks` reports it.
The beat schedule at the end is the one table of everything that happens by itself.
"""

import os
import secrets
import socket
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import environ
from celery.schedules import crontab

from mdmportal import first_start
from mdmportal.environment import Environment, Mistake, listen_address, portal_url

BASE_DIR = first_start.BASE_DIR
ENVIRONMENT = Environment(os.environ)
env = ENVIRONMENT

# --- where things lie ------------------------------------------------------------------------------------------
DATA_DIR = Path(env.text("PORTAL_DATA_DIR", str(BASE_DIR / "data"))).resolve()
DEMO = env.flag("PORTAL_DEMO", default=False)


def _kept(name: str, file: str) -> str:
    """A key from the environment, else the one made at first start, else nothing (reported by a system check)."""
    path = first_start.key_file(DATA_DIR, file)
    return env.text(name) or (path.read_text(encoding="utf-8").strip() if path.is_file() else "")


SECRET_KEY = _kept("SECRET_KEY", "secret_key") or secrets.token_urlsafe(50)
# Fernet keys; the first encrypts, all decrypt (see certificates/encryption.py).
PORTAL_ENCRYPTION_KEYS = tuple(
    key.strip() for key in _kept("PORTAL_ENCRYPTION_KEYS", "encryption_keys").split(",") if key.strip()
)
DEBUG = env.flag("DEBUG", default=False)

# --- addresses -------------------------------------------------------------------------------------------------
PORTAL_TLS_CERT = env.text("PORTAL_TLS_CERT")
PORTAL_TLS_KEY = env.text("PORTAL_TLS_KEY")
# HTTPS by the portal itself; without a certificate of the operator's, by one of our own authority.
PORTAL_TLS = env.flag("PORTAL_TLS", default=bool(PORTAL_TLS_CERT))
_default_url = f"https://{socket.gethostname().lower()}:8443" if PORTAL_TLS else "http://127.0.0.1:8000"
PORTAL_URL = env.parsed("PORTAL_URL", _default_url, parse=portal_url, expected="https://HOST or https://HOST:PORT")
# All addresses only where devices come to us directly.
PORTAL_LISTEN = env.parsed(
    "PORTAL_LISTEN",
    listen_address("0.0.0.0:8443" if PORTAL_TLS else "127.0.0.1:8000"),
    parse=listen_address,
    expected="HOST:PORT or PORT",
)
# Processes of the web server; 0 chooses by database and cores.
PORTAL_WEB_WORKERS = env.integer("PORTAL_WEB_WORKERS", 0)
PORTAL_ORGANIZATION = env.text("PORTAL_ORGANIZATION", "MDM Portal")
_portal = urlsplit(PORTAL_URL)
ALLOWED_HOSTS = [*{_portal.hostname or "127.0.0.1", "127.0.0.1", "localhost"}, *env.words("PORTAL_ALLOWED_HOSTS")]
CSRF_TRUSTED_ORIGINS = [f"{_portal.scheme}://{_portal.netloc}"]
SECURE_COOKIES = _portal.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# No inline script or style anywhere, and nothing from another host (portal_ui/csp.py; the name is Django 6's).
SECURE_CSP = {
    "default-src": ["'self'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'self'"],
    "form-action": ["'self'"],
}
# Redirects would lose the body of a device's PUT; every device URL is exact.
APPEND_SLASH = False

# --- devices at the door ---------------------------------------------------------------------------------------
PORTAL_TRUSTED_PROXIES = env.words("PORTAL_TRUSTED_PROXIES")
PORTAL_CERTIFICATE_HEADER = env.text("PORTAL_CERTIFICATE_HEADER")
PORTAL_CERTIFICATE_HEADER_FORMAT = env.text("PORTAL_CERTIFICATE_HEADER_FORMAT", "rfc9440")
PORTAL_PROXY_DROPS_UNDERSCORES = env.flag("PORTAL_PROXY_DROPS_UNDERSCORES", default=False)
PORTAL_SCEP_LEGACY = env.flag("PORTAL_SCEP_LEGACY", default=False)
PORTAL_SIGN_ENROLLMENT = env.flag("PORTAL_SIGN_ENROLLMENT", default=True)
DEVICE_BODY_LIMIT = 64 * 1024 * 1024
DEVICE_BODY_INLINE = 2 * 1024 * 1024

# --- push ------------------------------------------------------------------------------------------------------
APNS_URL = env.text("APNS_URL", "https://api.push.apple.com")
APNS_CA_FILE = env.text("APNS_CA_FILE")
PUSH_EXPIRATION = timedelta(seconds=env.integer("PORTAL_PUSH_EXPIRATION", 7 * 24 * 3600))

# --- the gate and retries (seconds; the demo shrinks them) -------------------------------------------------------
GATE_FAST_INTERVAL = timedelta(seconds=env.integer("PORTAL_GATE_FAST_INTERVAL", 300))
GATE_FAST_PERIOD = timedelta(seconds=env.integer("PORTAL_GATE_FAST_PERIOD", 70 * 60))
GATE_HOURLY_INTERVAL = timedelta(seconds=env.integer("PORTAL_GATE_HOURLY_INTERVAL", 3600))
GATE_HOURLY_PERIOD = timedelta(seconds=env.integer("PORTAL_GATE_HOURLY_PERIOD", 24 * 3600))
GATE_DAILY_INTERVAL = timedelta(seconds=env.integer("PORTAL_GATE_DAILY_INTERVAL", 24 * 3600))
GATE_DEADLINE = timedelta(seconds=env.integer("PORTAL_GATE_DEADLINE", 14 * 24 * 3600))
# How often a device that has proved its compliance is asked again.
GATE_PROVED_INTERVAL = timedelta(seconds=env.integer("PORTAL_GATE_PROVED_INTERVAL", 4 * 3600))
RETRY_INTERVAL = timedelta(seconds=env.integer("PORTAL_RETRY_INTERVAL", 15 * 60))
RETRY_CEILING = env.integer("PORTAL_RETRY_CEILING", 8)
COMMAND_LIFETIME = timedelta(seconds=env.integer("PORTAL_COMMAND_LIFETIME", 30 * 24 * 3600))
REPUSH_INTERVAL = timedelta(seconds=env.integer("PORTAL_REPUSH_INTERVAL", 15 * 60))
# Devices' last contact is written in batches, this many seconds apart at most; 0 leaves it to a caller of flush.
SEEN_FLUSH_INTERVAL = env.integer("PORTAL_SEEN_FLUSH_INTERVAL", 1)
SWEEP_INTERVAL = env.integer("PORTAL_SWEEP_INTERVAL", 15) or 15
# The slow sweep that plans the whole fleet; changes are planned at once, without waiting for it.
PLAN_INTERVAL = env.integer("PORTAL_PLAN_INTERVAL", 600) or 600
INVITATION_LIFETIME = timedelta(hours=24)
CHALLENGE_LIFETIME = timedelta(hours=1)
IDENTITY_LIFETIME = timedelta(days=365)

# --- provisioning profiles (seconds; the demo shrinks a year to minutes) -----------------------------------------
APPSTORECONNECT_URL = env.text("APPSTORECONNECT_URL")
APPSTORECONNECT_ENTERPRISE_URL = env.text("APPSTORECONNECT_ENTERPRISE_URL")
# PEM file of further roots that provisioning profiles may chain to: a fake Apple's, for tests and the demo.
PROVISIONING_EXTRA_ROOTS = env.text("PORTAL_PROVISIONING_EXTRA_ROOTS")
PROVISIONING_LEAD = env.seconds("PORTAL_PROVISIONING_LEAD", 45 * 24 * 3600)
PROVISIONING_LIFETIME = env.seconds("PORTAL_PROVISIONING_LIFETIME", 365 * 24 * 3600)
PROVISIONING_CANARY_SOAK = env.seconds("PORTAL_PROVISIONING_CANARY_SOAK", 24 * 3600)
PROVISIONING_WAVE_INTERVAL = env.seconds("PORTAL_PROVISIONING_WAVE_INTERVAL", 24 * 3600)
# Shares of the fleet, in per cent, that are woken one after the other.
PROVISIONING_WAVES = env.integers("PORTAL_PROVISIONING_WAVES", (10, 50, 100))
PROVISIONING_CLEANUP_AFTER = env.seconds("PORTAL_PROVISIONING_CLEANUP_AFTER", 7 * 24 * 3600)
PROVISIONING_BACK_OFF = tuple(
    timedelta(seconds=wait) for wait in env.integers("PORTAL_PROVISIONING_BACK_OFF", (30, 120, 600, 3600))
)
PROVISIONING_LOOK_INTERVAL = env.seconds("PORTAL_PROVISIONING_LOOK_INTERVAL", 30)
# What needs somebody is tried again by itself this often.
PROVISIONING_SLOW_RETRY = env.seconds("PORTAL_PROVISIONING_SLOW_RETRY", 24 * 3600)
# How long a step of a renewal may take before another worker takes over.
PROVISIONING_LEASE = env.seconds("PORTAL_PROVISIONING_LEASE", 15 * 60)
PROVISIONING_SCAN_INTERVAL = env.integer("PORTAL_PROVISIONING_SCAN_INTERVAL", 3600) or 3600
PROVISIONING_ADVANCE_INTERVAL = env.seconds("PORTAL_PROVISIONING_ADVANCE_INTERVAL", 300)
PROVISIONING_LIST_INTERVAL = env.seconds("PORTAL_PROVISIONING_LIST_INTERVAL", 24 * 3600)

# --- Django ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "portal_ui",
    "mdmportal.apps.PortalConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "operations",
    "certificates",
    "devices",
    "profiles",
    "provisioning",
    "endpoint",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal_ui.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "mdmportal.urls"
WSGI_APPLICATION = "mdmportal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mdmportal.pages.navigation.frame",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = ["portal_ui.formats"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "portal_ui.static_files.HashedStaticFiles"},
}
# `up` collects and compresses them before its processes start; until then they come from the packages as they are.
WHITENOISE_USE_FINDERS = not (STATIC_ROOT / "staticfiles.json").is_file()
# Apps, and uploads that were read but not confirmed yet. Nothing serves this folder: apps go out by signed links.
MEDIA_ROOT = DATA_DIR / "media"
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700
# Uploads may hold secrets: they stay in the data folder, which is ours alone (made by first_start).
FILE_UPLOAD_TEMP_DIR = str(DATA_DIR / "tmp")
# A payload form with everything set: TCC alone has 700 controls.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
LOGIN_URL = "admin:login"
DEFAULT_EXCEPTION_REPORTER_FILTER = "mdmportal.error_report.ReportFilter"

# --- database --------------------------------------------------------------------------------------------------
SQLITE_OPTIONS = {
    # IMMEDIATE: a transaction that reads first and writes later can otherwise fail at once, whatever the time-out.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32000;",
}
# Django leaves prepared statements off; the report statement would be planned anew at every connect.
# Not at the first use: migrations send several commands in one text, which cannot be prepared.
POSTGRESQL_OPTIONS = {"prepare_threshold": 2, "server_side_binding": True}


def _database(url: str) -> dict[str, object]:
    parsed = environ.Env.db_url_config(url)
    options = dict(parsed.get("OPTIONS", {}))
    if parsed.get("ENGINE") == "django.db.backends.sqlite3":
        options = {**SQLITE_OPTIONS, **options}
    elif parsed.get("ENGINE") == "django.db.backends.postgresql":
        options = {**POSTGRESQL_OPTIONS, **options}
    else:
        raise ValueError(url)
    # No health check: it costs every connect a statement. After an outage the first request of a connection answers
    # 503, which devices repeat, and Django then opens a new one.
    return {**parsed, "OPTIONS": options, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}


_embedded = f"sqlite:///{DATA_DIR / 'portal.sqlite3'}"
DATABASES = {
    "default": env.parsed(
        "DATABASE_URL",
        _database(_embedded),
        parse=_database,
        expected="sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME",
    )
}

# --- mail, webhook ---------------------------------------------------------------------------------------------
ALERT_MAIL_TO = env.words("PORTAL_ALERT_MAIL_TO")
ALERT_WEBHOOK_URL = env.text("PORTAL_ALERT_WEBHOOK_URL")
ALERT_WEBHOOK_SECRET = env.text("PORTAL_ALERT_WEBHOOK_SECRET")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("PORTAL_MAIL_FROM", "mdm-portal@localhost")
EMAIL_CONFIG: dict[str, object] = env.parsed(
    "EMAIL_URL", {}, parse=environ.Env.email_url_config, expected="smtp://USER:PASSWORD@HOST:PORT"
)
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 20

# --- log -------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"one_line": {"()": "mdmportal.error_report.WithoutTraceback"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("PORTAL_LOG_LEVEL", "INFO").upper()},
    # httpx logs whole URLs, and an APNs URL holds the device's push token.
    "loggers": {
        **{name: {"level": "WARNING"} for name in ("httpx", "httpcore", "hpack")},
        "django.security.DisallowedHost": {"filters": ["one_line"]},
    },
}
if LOGGING["root"]["level"] not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:  # type: ignore[index]
    LOGGING["root"]["level"] = "INFO"  # type: ignore[index]
    env.mistakes.append(Mistake("PORTAL_LOG_LEVEL", "expected DEBUG, INFO, WARNING, ERROR or CRITICAL"))

# --- Celery ----------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", "filesystem://localhost")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 8
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULER = "mdmportal.beat:LeaseScheduler"
if CELERY_BROKER_URL.startswith("filesystem:"):
    # operations/broker.py, which has no broadcast
    CELERY_BROKER_TRANSPORT_OPTIONS = {"folder": str(DATA_DIR / "broker"), "polling_interval": 0.1}
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False

# What happens by itself. No truth lives in the broker: each job finds in the database whatever is due.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    # answers that a crash left between the report and its handler
    "handle-reports": {"task": "endpoint.tasks.handle_reports", "schedule": SWEEP_INTERVAL},
    # pushes that a crash or an outage left, and devices that still have open commands
    "push-due": {"task": "devices.tasks.push_due", "schedule": SWEEP_INTERVAL},
    # bulk operations that a crash or a lost message left unfinished
    "run-bulks": {"task": "devices.tasks.run_bulks", "schedule": SWEEP_INTERVAL},
    # the gate: ask devices whose verdict is due
    "poll-due": {"task": "profiles.tasks.poll_due", "schedule": SWEEP_INTERVAL},
    # from wish to proof: heals whatever a lost message or a crash left undone
    "plan-all": {"task": "profiles.tasks.plan_all", "schedule": PLAN_INTERVAL},
    # retries whose time has come
    "plan-due": {"task": "profiles.tasks.plan_due", "schedule": SWEEP_INTERVAL},
    # commands past their end
    "expire-commands": {"task": "devices.tasks.expire_commands", "schedule": 300},
    # files and secrets of forms that never came back
    "sweep-held": {"task": "profiles.tasks.sweep_held", "schedule": 3600},
    # mail and webhook
    "deliver-alerts": {"task": "operations.tasks.deliver_alerts", "schedule": SWEEP_INTERVAL},
    # provisioning profiles: begin the renewals that are due
    "scan-profiles": {"task": "provisioning.tasks.scan_profiles", "schedule": PROVISIONING_SCAN_INTERVAL},
    # take every open renewal as far as it can go
    "advance-renewals": {
        "task": "provisioning.tasks.advance_renewals",
        "schedule": PROVISIONING_ADVANCE_INTERVAL or SWEEP_INTERVAL,
    },
    # provisioning profiles from wish to proof, and retries whose time has come
    "plan-provisioning": {"task": "provisioning.tasks.plan_all", "schedule": PLAN_INTERVAL},
    "plan-provisioning-due": {"task": "provisioning.tasks.plan_due", "schedule": SWEEP_INTERVAL},
    # which devices hold which profile
    "poll-provisioning-lists": {"task": "provisioning.tasks.poll_lists", "schedule": PROVISIONING_SCAN_INTERVAL},
    # a revoked key, an agreement or a membership, before it matters
    "check-api-keys": {"task": "provisioning.tasks.check_api_keys", "schedule": crontab(minute="37", hour="3")},
    # ends, stragglers, certificates, and renewals that need somebody
    "warn-provisioning": {"task": "provisioning.tasks.warn", "schedule": PROVISIONING_SCAN_INTERVAL},
    # 60, 30, 14, 7, 3 and 1 days before anything ends
    "warn-expiring": {"task": "devices.tasks.warn_expiring", "schedule": crontab(minute="7", hour="*/6")},
}
# Without a worker the messages would pile up; the next one says the same anyway.
for _entry in CELERY_BEAT_SCHEDULE.values():
    _entry["options"] = {"expires": 600}
