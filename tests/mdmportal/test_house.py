"""The house stands: migrations match the models, checks are quiet, the environment is read as documented."""

import pytest
from django.core.checks import run_checks
from django.core.management import call_command

from mdmportal.environment import Environment


@pytest.mark.django_db
def test_the_migrations_match_the_models():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_a_value_may_come_from_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    environment = Environment({"NAME_FILE": str(secret)})
    assert environment.text("NAME") == "from a file"
    assert environment.mistakes == []


def test_a_mistake_is_kept_without_its_value():
    environment = Environment({"NUMBER": "hunter2"})
    assert environment.integer("NUMBER", 7) == 7
    assert [mistake.name for mistake in environment.mistakes] == ["NUMBER"]
    assert "hunter2" not in repr(environment.mistakes)


def test_the_settings_of_the_tests_pass_the_system_checks():
    assert [message.id for message in run_checks()] == []
