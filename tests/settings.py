"""The portal's settings for tests: keys of their own, no broker, nothing of the developer's environment.

pytest-django reads the settings before it reads any conftest.py, so the environment is prepared here.
"""

import os
import tempfile

for _name in list(os.environ):
    if _name.startswith(("PORTAL_", "APNS_", "APPSTORECONNECT_", "CELERY_")) or _name in {
        "SECRET_KEY",
        "DEBUG",
        "EMAIL_URL",
    }:
        del os.environ[_name]
os.environ["PORTAL_DATA_DIR"] = tempfile.mkdtemp(prefix="mdmportal-tests-")
os.environ["SECRET_KEY"] = "for tests only: " + "x" * 50
os.environ["PORTAL_ENCRYPTION_KEYS"] = "dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE="
os.environ["CELERY_BROKER_URL"] = "memory://"
# No thread of ours writes beside a test's own transaction.
os.environ["PORTAL_SEEN_FLUSH_INTERVAL"] = "0"

from mdmportal.settings import *  # noqa: E402, F403

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # A file, for threads of one test share a database in memory by rules of its own and lock each other out.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405
# manage.py makes it at first start; whitenoise warns when it is missing.
STATIC_ROOT.mkdir()  # noqa: F405
(DATA_DIR / "tmp").mkdir()  # noqa: F405
# Nothing is remembered from one test to the next, and every page shows its whole cost.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
