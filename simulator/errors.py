"""What can go wrong in the simulator.

SimulatorError
 ├─ AppleError         the folder of the fake Apple cannot be read
 ├─ ConnectionFailed   a request got no HTTP answer (refused, reset, timed out)
 ├─ EnrollmentFailed   the portal answered, and the device is not enrolled; str() says at which step
 └─ StateError         a saved device cannot be read
"""


class SimulatorError(Exception):
    """The root of all errors of the simulator."""


class AppleError(SimulatorError):
    """The folder of the fake Apple is missing or damaged."""


class ConnectionFailed(SimulatorError):  # noqa: N818 - says what happened, as httpx and the device's log do
    """No HTTP answer came: the portal is down, or the connection broke."""


class EnrollmentFailed(SimulatorError):  # noqa: N818 - see above
    """The portal answered, but not in a way that lets a device enroll."""


class StateError(SimulatorError):
    """A file of the state folder is no saved device."""
