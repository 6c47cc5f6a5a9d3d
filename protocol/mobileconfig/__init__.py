"""Configuration profiles (.mobileconfig): read, judged, built; the one that enrolls a device among them."""

from __future__ import annotations

from protocol.mobileconfig.building import build_mobileconfig, content_uuid
from protocol.mobileconfig.enrollment import (
    ALL_ACCESS_RIGHTS,
    SERVER_CAPABILITIES,
    EnrollmentFacts,
    EnrollmentProfile,
    Subject,
    read_enrollment,
)
from protocol.mobileconfig.parsing import Mobileconfig, parse_mobileconfig, unwrap_mobileconfig
from protocol.mobileconfig.reading import ReadFile, SignerReport, read_file
from protocol.mobileconfig.unwrapping import Form

__all__ = [
    "ALL_ACCESS_RIGHTS",
    "SERVER_CAPABILITIES",
    "EnrollmentFacts",
    "EnrollmentProfile",
    "Form",
    "Mobileconfig",
    "ReadFile",
    "SignerReport",
    "Subject",
    "build_mobileconfig",
    "content_uuid",
    "parse_mobileconfig",
    "read_enrollment",
    "read_file",
    "unwrap_mobileconfig",
]
