"""Price lists as files: read from YAML or JSON with every doubt told, written from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from farebox.books import decoded_list
from farebox.cli.output import CommandFailed, ExitCode, Output, refused
from farebox.store.catalogue import PricedModel, Snapshot
from farebox.tariff.price_list import Model, PriceList, Severity, export_price_list, read_price_list


def read_file(path: Path, out: Output, *, without_refused: bool) -> PriceList:
    """The list of a file. Warnings are noted; a model that is not understood refuses the list, or is left out."""
    reading = read_price_list(_decoded(path))
    for finding in reading.findings:
        word = "Refused" if finding.severity is Severity.REFUSED else "Warning"
        out.note(f"{word}: {finding.model or path.name}: {finding.problem}")
    if reading.refused and not without_refused:
        raise refused(
            f"{len(reading.refused)} entries of {path} are not understood, so nothing of it was used.",
            next_step="Correct them, or leave them out with --without-refused.",
        )
    if not reading.price_list.models:
        raise refused(f"{path} holds no model that could be read.")
    return reading.price_list


def current_list(snapshot: Snapshot, now_us: int) -> PriceList:
    """The catalogue as a price list: each model with the price in force, or the next one that will be."""
    return PriceList("catalogue", tuple(_with_price(priced, now_us) for priced in snapshot.models.values()))


def written(price_list: PriceList, *, as_json: bool) -> str:
    """The list as text that `read_file` reads."""
    plain = export_price_list(price_list)
    if as_json:
        return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)


def _with_price(priced: PricedModel, now_us: int) -> Model:
    version = priced.price_at(now_us) or next(iter(priced.versions), None)
    if version is None:
        return priced.model
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
