"""A portal and devices that share a few ready keys."""

from datetime import UTC, datetime
from typing import TypeVar

import pytest

from simulator.device import Device
from simulator.enrollment import enroll
from simulator.flows import Flow
from simulator.hardware import hardware
from simulator.session import Outcome, connect
from simulator.transport import run
from tests.simulator.portal import Keys, Portal

T = TypeVar("T")


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys()


@pytest.fixture
def portal(keys: Keys) -> Portal:
    return Portal(keys(2048))


class Driver:
    """Runs a device's conversations against the portal."""

    def __init__(self, portal: Portal, keys: Keys) -> None:
        self.portal = portal
        self.keys = keys

    def run(self, flow: Flow[T]) -> T:
        with self.portal.client() as client:
            return run(flow, client, make_key=self.keys)

    def enroll(self, device: Device) -> Device:
        self.run(enroll(device, self.portal.profile_url, now=datetime.now(UTC)))
        return device

    def connect(self, device: Device) -> Outcome:
        return self.run(connect(device, now=datetime.now(UTC)))


@pytest.fixture
def driver(portal: Portal, keys: Keys) -> Driver:
    return Driver(portal, keys)


@pytest.fixture
def phone(driver: Driver) -> Device:
    """An enrolled iPhone."""
    return driver.enroll(Device(hardware(1)))
