"""The command line of the simulator: `python -m simulator --help`. Only parsing, printing and stopping."""

import argparse
import asyncio
import contextlib
import functools
import signal
import sys
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from simulator import apple, appstoreconnect_state, control
from simulator.apns import ApnsServer, utc_now
from simulator.apns_ledger import Ledger
from simulator.appstoreconnect import AppStoreConnectServer
from simulator.device import CertificateHeader
from simulator.errors import SimulatorError
from simulator.fleet import Fleet, FleetOptions

EPILOG = """examples:
  python -m simulator apple --dir data/apple
      a fake Apple: give apns-ca.pem to the portal as APNS_CA_FILE, upload push-certificate.pem and push-key.pem there
  python -m simulator fleet --url http://127.0.0.1:8000/enroll/... --devices 25 --apple data/apple --apns-port 2197 \\
      --control 2198 --state data/fleet
      25 devices that enroll, are woken by pushes and follow their users; steer them with
      curl -X POST -d '{"set": false}' http://127.0.0.1:2198/devices/SIM0000001/passcode
  python -m simulator appstoreconnect --state data/appstoreconnect --port 8090 --lifetime 600
      a fake App Store Connect whose profiles live ten minutes: give http://127.0.0.1:8090/enterprise to the portal as
      APPSTORECONNECT_ENTERPRISE_URL, provisioning-roots.pem as PORTAL_PROVISIONING_EXTRA_ROOTS, and upload the rest

Nothing here talks to Apple, and no device of it exists.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; 0 when it ended as asked, 1 with a sentence on standard error, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_until_stopped(options.run(options)))
    except (SimulatorError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run until done or until SIGINT or SIGTERM."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _say(who: str, event: str, detail: str) -> None:
    sys.stdout.write(f"{utc_now():%H:%M:%S} {who} {event}{f': {detail}' if detail else ''}\n")
    sys.stdout.flush()


async def _apple(options: argparse.Namespace) -> None:
    made = apple.make(options.dir, now=utc_now())
    _say("apple", "topic", made.topic)


async def _apns(options: argparse.Namespace) -> None:
    ledger = Ledger(utc_now, accept_any=True)
    server = ApnsServer(apple.make(options.dir, now=utc_now()), ledger)
    await server.start(port=options.port)
    _say("apns", "listening", server.url)
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


async def _fleet(options: argparse.Namespace) -> None:
    async with Fleet(_fleet_options(options), log=_say) as fleet:
        if options.control is None:
            await fleet.run()
            return
        server = await control.serve(fleet, options.control)
        _say("control", "listening", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with server:
            await fleet.run()
            await asyncio.Event().wait()  # steered fleets stay, so that their devices can still be looked at


async def _appstoreconnect(options: argparse.Namespace) -> None:
    api = appstoreconnect_state.open_folder(
        options.state,
        utc_now,
        team=options.team,
        program=options.program,
        bundle_ids=options.bundle_id or ["com.example.pos"],
        lifetime=timedelta(seconds=options.lifetime),
        age=timedelta(seconds=options.age),
    )
    _say("appstoreconnect", "state", str(options.state))
    if options.prepare:
        return
    server = AppStoreConnectServer(
        utc_now, api=api, on_change=functools.partial(appstoreconnect_state.save, options.state)
    )
    server.start(port=options.port)
    for program in ("enterprise", "developer"):
        _say("appstoreconnect", "listening", server.url(program))
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.to_thread(server.stop)


def _fleet_options(options: argparse.Namespace) -> FleetOptions:
    return FleetOptions(
        url=options.url,
        devices=options.devices,
        apple_directory=options.apple,
        apns_port=options.apns_port,
        set_passcode_share=options.set_passcode_share,
        passcode_delay=options.passcode_delay,
        drop_passcode_after=tuple(options.drop_passcode_after),
        seed=options.seed,
        first=options.first,
        ipads=options.ipads,
        user_enrollments=options.user_enrollments,
        macs=options.macs,
        unlock_after=options.unlock_after,
        state=options.state,
        trust=options.trust,
        certificate_header=options.certificate_header,
    )


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="Fake Apple devices and a fake APNs, to try and to test an MDM portal without hardware.",
        epilog=EPILOG,
        formatter_class=form,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("apple", _apple, "make a fake Apple: root, APNs server certificate, push certificate and key"),
        ("apns", _apns, "run the fake APNs alone; it accepts any token and keeps what it gets to itself"),
        ("fleet", _fleet, "run the fake APNs and a fleet of devices"),
    ):
        command = commands.add_parser(name, help=text, description=text, formatter_class=form)
        command.set_defaults(run=run)
        command.add_argument(
            *(("--apple", "--dir") if name == "fleet" else ("--dir", "--apple")),
            type=Path,
            required=True,
            metavar="DIR",
            help="folder of the fake Apple; filled when it is empty",
        )
        if name == "apns":
            command.add_argument("--port", type=int, default=2197, help="TCP port (default 2197, 0 takes a free one)")
        if name == "fleet":
            _add_fleet_arguments(command)
    text = "run a fake App Store Connect; its folder holds the team key and the profiles to give to a portal"
    command = commands.add_parser("appstoreconnect", help=text, description=text, formatter_class=form)
    command.set_defaults(run=_appstoreconnect)
    _add_appstoreconnect_arguments(command)
    return parser


def _add_appstoreconnect_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--state", type=Path, required=True, metavar="DIR", help="folder of its state; filled when it is empty")
    add("--port", type=_count, default=8090, help="TCP port on 127.0.0.1 (default 8090, 0 takes a free one)")
    add("--prepare", action="store_true", help="fill the folder and stop")
    add("--lifetime", type=_seconds, default=365 * 86400.0, metavar="S", help="life of a profile (default a year)")
    first = command.add_argument_group("at the first start")
    first.add_argument("--team", default="AB12CD34EF", help="ten letters and digits (default AB12CD34EF)")
    first.add_argument("--program", choices=("enterprise", "developer"), default="enterprise")
    first.add_argument("--bundle-id", action="append", metavar="ID", help="an App ID with a profile; may be repeated")
    first.add_argument("--age", type=_seconds, default=0.0, metavar="S", help="how old the first profiles are (0)")


def _add_fleet_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--url", required=True, help="address that gives an enrollment profile at each GET")
    add("--devices", type=_count, required=True, metavar="N", help="how many devices")
    add("--apns-port", type=int, default=2197, metavar="P", help="port of the fake APNs (default 2197, 0: a free one)")
    add(
        "--control", type=int, metavar="PORT", help="port of the JSON interface on 127.0.0.1 (see simulator/control.py)"
    )
    add("--state", type=Path, metavar="DIR", help="keep the devices here, and go on with the ones that are there")
    add("--trust", type=Path, metavar="PEM", help="root certificate of the portal's HTTPS")
    people = command.add_argument_group("the users")
    people.add_argument("--set-passcode-share", type=_share, default=0.7, metavar="0..1", help="default 0.7")
    people.add_argument(
        "--passcode-delay", type=_range, default=(5.0, 20.0), metavar="A-B", help="seconds after the policy (5-20)"
    )
    people.add_argument(
        "--drop-passcode-after",
        type=_seconds,
        nargs="+",
        default=[],
        metavar="S",
        help="the first users who set a passcode drop it again, the k-th after the k-th number of seconds",
    )
    people.add_argument("--unlock-after", type=_seconds, default=30.0, metavar="S", help="a locked device waits (30)")
    people.add_argument("--seed", type=int, default=1, help="other numbers, other users (default 1)")
    kinds = command.add_argument_group("the devices (iPhones, unless)")
    kinds.add_argument("--first", type=_count, default=1, metavar="N", help="number of the first serial (default 1)")
    kinds.add_argument("--ipads", type=_count, default=0, metavar="N")
    kinds.add_argument("--user-enrollments", type=_count, default=0, metavar="N")
    kinds.add_argument("--macs", type=_count, default=0, metavar="N")
    kinds.add_argument(
        "--certificate-header",
        type=_header,
        metavar="NAME[:nginx|rfc9440]",
        help="send the certificate in this header, as a TLS proxy would, instead of signing (default form rfc9440)",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a number from 0 up")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 10**7:
        raise argparse.ArgumentTypeError("seconds from 0 up")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("a share from 0 to 1")
    return number


def _range(text: str) -> tuple[float, float]:
    start, _, end = text.partition("-")
    pair = _seconds(start), _seconds(end or start)
    if pair[0] > pair[1]:
        raise argparse.ArgumentTypeError("seconds as A-B, A not above B")
    return pair


def _header(text: str) -> CertificateHeader:
    name, _, form = text.partition(":")
    if form not in {"", "nginx", "rfc9440"} or not name:
        raise argparse.ArgumentTypeError("NAME, NAME:nginx or NAME:rfc9440")
    return CertificateHeader(name, cast("Any", form or "rfc9440"))


if __name__ == "__main__":
    sys.exit(main())
