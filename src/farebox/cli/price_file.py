"""Price lists as files: read from YAML or JSON with every doubt told, written from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from farebox.books import decoded_list
from farebox.cli.output import CommandFailed, ExitCode, Output, refused
from farebox.store.catalogue import PricedModel, PriceVersion, Snapshot
from farebox.tariff.price_list import Model, PriceList, Reading, Severity, export_price_list, read_price_list


def read_file(path: Path, out: Output, *, without_refused: bool) -> PriceList:
    """The list of a file, as `accepted`."""
    return accepted(read_price_list(_decoded(path)), out, origin=str(path), without_refused=without_refused)


def accepted(reading: Reading, out: Output, *, origin: str, without_refused: bool) -> PriceList:
    """What was read. Warnings are noted; a model that is not understood refuses the list, or is left out."""
    _tell(reading, out, origin)
    if reading.refused and not without_refused:
        raise refused(
            f"{len(reading.refused)} entries of {origin} are not understood, so nothing of it was used.",
            next_step="Correct them, or leave them out with --without-refused.",
        )
    if not reading.price_list.models:
        raise refused(f"{origin} holds no model that could be read.")
    return reading.price_list


def _tell(reading: Reading, out: Output, origin: str) -> None:
    """Every finding, refusals first; the same of several models in one line."""
    alike: dict[tuple[Severity, str], list[str]] = {}
    for finding in (*reading.refused, *reading.findings):
        names = alike.setdefault((finding.severity, finding.problem), [])
        if finding.model not in names:
            names.append(finding.model)
    for (severity, problem), names in alike.items():
        word = "Refused" if severity is Severity.REFUSED else "Warning"
        out.note(f"{word}: {', '.join(name or origin for name in names)}: {problem}")


def current_list(snapshot: Snapshot, at_us: int) -> PriceList:
    """The catalogue as a price list: each model with the price in force at a moment, or the next one that will be."""
    return PriceList("catalogue", tuple(with_price(priced, at_us) for priced in snapshot.models.values()))


def written(price_list: PriceList, *, as_json: bool) -> str:
    """The list as text that `read_file` reads."""
    plain = export_price_list(price_list)
    if as_json:
        return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)


def with_price(priced: PricedModel, at_us: int) -> Model:
    """A model with the price in force at a moment, or the next one that will be."""
    version = priced.price_at(at_us) or next(iter(priced.versions), None)
    return priced.model if version is None else at_version(priced, version)


def at_version(priced: PricedModel, version: PriceVersion) -> Model:
    """A model with one of its prices."""
    return msgspec.structs.replace(
        priced.model, price=version.card.card, cost_card=None if version.cost_card is None else version.cost_card.card
    )


def _decoded(path: Path) -> Mapping[str, Any]:
    try:
        return decoded_list(path)
    except OSError as trouble:
        raise _unreadable(path, trouble.strerror or str(trouble)) from None
    except (yaml.YAMLError, ValueError) as trouble:
        raise _unreadable(path, str(trouble)) from None


def _unreadable(path: Path, why: str) -> CommandFailed:
    return CommandFailed(
        f"The price list {path} cannot be read: {why}.",
        code=ExitCode.USAGE,
        next_step="`farebox price export` writes one in the right form.",
    )
