"""Whether a channel can take a command at all: by its platform, system, enrollment kind and supervision.

Judged by Apple's schema (`protocol.schema`), so that a mistake is a sentence on a page and not a device's Error days
later. Facts a device has not told yet refuse nothing. Pure.
"""

from devices.models import Device, Enrollment, Platform
from protocol import schema
from protocol.identity import EnrollmentKind
from protocol.schema import PlatformFacts

_USER_ENROLLMENT = frozenset({EnrollmentKind.USER_ENROLLMENT.value, EnrollmentKind.USER_ENROLLMENT_USER.value})


def unsuitable(enrollment: Enrollment, request_type: str) -> list[str]:
    """Why this channel cannot take a command of this type, as sentences; empty when it can."""
    facts = schema.commands().get(request_type)
    device = enrollment.device
    if facts is None:
        return [f"Apple's schema has no command {request_type}."]
    if not device.platform:
        return []
    # Apple's schema counts iPadOS as iOS.
    name = "iOS" if device.platform == Platform.IPADOS else device.platform
    platform = facts.platforms.get(name)
    if platform is None:
        return [f"{request_type} does not exist on {name}."]
    return [*_by_channel(enrollment, request_type, facts=platform), *_by_system(device, request_type, facts=platform)]


def _by_channel(enrollment: Enrollment, request_type: str, *, facts: PlatformFacts) -> list[str]:
    problems = []
    if not (facts.device_channel if enrollment.parent_id is None else facts.user_channel):
        channel = "device" if enrollment.parent_id is None else "user"
        problems.append(f"{request_type} cannot be sent on the {channel} channel.")
    if enrollment.kind in _USER_ENROLLMENT and facts.user_enrollment == "forbidden":
        problems.append(f"{request_type} is not allowed in User Enrollment.")
    if enrollment.kind == EnrollmentKind.SHARED_IPAD_USER and facts.shared_ipad == "forbidden":
        problems.append(f"{request_type} is not allowed on Shared iPad.")
    return problems


def _by_system(device: Device, request_type: str, *, facts: PlatformFacts) -> list[str]:
    problems = []
    if facts.supervised and device.is_supervised is False:
        problems.append(f"{request_type} needs a supervised device.")
    system = _version(device.os_version)
    if system and system < _version(facts.introduced):
        problems.append(f"{request_type} needs {facts.introduced} or newer; the device runs {device.os_version}.")
    if system and facts.removed and system >= _version(facts.removed):
        problems.append(f"{request_type} was removed in {facts.removed}; the device runs {device.os_version}.")
    return problems


def _version(text: str) -> tuple[int, ...]:
    """A version as numbers; () for anything that is none, which is smaller than all."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else ()
