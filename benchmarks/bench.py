"""`make bench`: a mock provider, nginx as a plain proxy and Farebox side by side on this machine, under the same load.

    python -m benchmarks.bench                         everything, about six minutes
    python -m benchmarks.bench requests steady         only these
    python -m benchmarks.bench chunks --json > out.json
    python -m benchmarks.bench --without-farebox       the mock and nginx alone: is the harness sound here?
    python -m benchmarks.bench requests --url http://127.0.0.1:8080 --pid 4711 --database-pid 4712 \\
        --keys keys.txt --mock-port 9000               a gateway that already runs, its channel leading to port 9000

Everything stays on 127.0.0.1 and ends by itself. Exit code 0: every target met; 1: one missed; 2: could not measure.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from benchmarks.farebox_gateway import Gateway
from benchmarks.measures import MEASURES
from benchmarks.proc import Tree
from benchmarks.report import Table
from benchmarks.servers import NotReady
from benchmarks.stage import Settings
from benchmarks.wrk import LoadFailed


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    try:
        settings = _settings(options)
        tables = _measure(options.measures or list(MEASURES), settings, quiet=options.json)
    except (NotReady, LoadFailed, OSError) as trouble:
        print(f"Could not measure: {trouble}", file=sys.stderr)
        sys.exit(2)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(tables)).decode())
    sys.exit(0 if all(check.holds for table in tables for check in table.checks) else 1)


def _measure(names: list[str], settings: Settings, *, quiet: bool) -> list[Table]:
    tables: list[Table] = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        found = MEASURES[name](settings)
        tables += found
        if not quiet:
            print(*found, sep="\n", flush=True)
    return tables


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench",
        description=__doc__,
        epilog="measures:\n" + "".join(f"  {name:10}{measure.__doc__}\n" for name, measure in MEASURES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help="which; all of them if none is named")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each single measurement")
    parser.add_argument("--json", action="store_true", help="print values for programs instead of tables")
    parser.add_argument("--without-farebox", action="store_true", help="only the mock and nginx")
    running = parser.add_argument_group("a gateway that already runs")
    running.add_argument("--url", help="its address on this machine")
    running.add_argument("--pid", type=int, action="append", default=[], help="its process, with all below")
    running.add_argument("--database-pid", type=int, action="append", default=[], help="its PostgreSQL, with all below")
    running.add_argument("--keys", type=Path, help="file of API keys, one a line")
    running.add_argument("--mock-port", type=int, default=0, help="where its channel expects the mock provider")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    gateway = _running_gateway(options) if options.url else None
    return Settings(
        seconds=options.seconds,
        with_farebox=not options.without_farebox,
        gateway=gateway,
        mock_port=options.mock_port,
    )


def _running_gateway(options: argparse.Namespace) -> Gateway:
    url: str = options.url
    address = urlsplit(url)
    if address.hostname not in ("127.0.0.1", "localhost") or address.port is None:
        raise NotReady("--url must be http://127.0.0.1:PORT: benchmarks do not leave this machine.")
    if not (options.pid and options.keys and options.mock_port):
        raise NotReady("--url needs --pid, --keys and --mock-port as well.")
    keys = tuple(options.keys.read_text().split())
    database = tuple(options.database_pid)
    return Gateway(address.port, Tree(tuple(options.pid), but_not=database), Tree(database), keys)


if __name__ == "__main__":
    main()
