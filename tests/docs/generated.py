"""The reference pages that are generated from code: `python -m tests.docs.generated` writes them.

    docs/reference/meters.md         tariff/meters.py
    docs/reference/price-fields.md   wire/price_fields.py
    docs/reference/dialects.md       wire/passage.py, the tables of wire/speeches.py
    docs/reference/metrics.md        observe/exposition.py
    docs/reference/price-sources.md  tariff/genai_figures.py, tariff/litellm_fields.py

A test compares what is committed with what would be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.pure.tariff.test_against_genai_prices import DISAGREEMENTS

from farebox.cli.price_sources import shipped
from farebox.edge.watch import RequestWatch
from farebox.observe.exposition import exposition
from farebox.observe.metrics import Metrics
from farebox.relay.job import Trace
from farebox.tariff import import_genai_prices, litellm_fields
from farebox.tariff.genai_figures import ANNOTATED, UNITS, WITHOUT_METER
from farebox.tariff.meters import INPUT_TOKENS, OUTPUT_TOKENS, PARENT, Meter, default_per
from farebox.tariff.public_price import UNIT_NAMES
from farebox.wire.chat.features import Feature, Row
from farebox.wire.dialect import DIALECTS, Dialect
from farebox.wire.passage import CHANNEL_DIALECTS, is_native, passage_between
from farebox.wire.speeches import SPEECHES

CHAT = ("openai_chat", "openai_responses", "anthropic", "gemini")
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

_OF_METERS = """\
What work is counted in. Meters are disjoint: nothing is counted twice. A meter without a rate of its own takes its
parent's; without either it is unpriced, and a call that could use it is refused ([prices](../concepts/pricing.md)).
"""
_OF_PRICE_FIELDS = """\
A field is priced (the hold covers what it can cause) or refused with 400 `invalid_parameter`, because what it buys is
on no rate card. One that is `null` or `false` asks for nothing and passes, as do all fields not named here.
"""
_OF_DIALECTS = """\
Who can serve whom, and what is done about what a dialect cannot say; [how it works](../concepts/dialects.md). A channel
of the same dialect gets a call as it came; between two of the four chat dialects it is translated.
"""
_OF_FEATURES = """\
What a call asks for, by the dialect of the channel that serves it when that is not the caller's own: said as it is (an
empty cell), said in other words (adapted), left out because the answer stays what was asked for (dropped), or answered
with 400 `invalid_parameter` and the field (refused).
"""
_OF_SOURCES = """\
What `farebox price import --from` makes of others' prices ([how to](../concepts/pricing.md#others-prices)). Every field
of the shipped files is in a table here; one that is not is reported, and refuses its model if it could be about a
price.
"""
_OF_UNITS = """\
A tier moves the whole request once all its input is larger (`input_above`). Of prices with dates the last that has
begun counts. Hours of the day are `utc_window`; `processing: batch` is `batch`, `service_tier` is itself, and any other
context a parameter of its name.
"""
_OF_DISAGREEMENTS = """\
The same random usage of every model is priced by genai-prices itself and by the imported card. They agree to the
nanocredit, rounded half to even, but for these:
"""
_OF_FIGURES = """\
After a name, `_above_1hr` and `_above_12hr` mean what is written to a cache for that long, `_above_200k_tokens` moves
the whole request once its input is larger, and `_batches`, `_flex`, `_balanced`, `_priority` and `_ultrafast` are
batches and service tiers. `tiered_pricing` moves the whole request too; LiteLLM itself adds the ranges up.
`off_peak_pricing` is `utc_window` and `utc_weekdays`; `search_context_cost_per_query` is `searches` by the parameter
`search_context_size`; sizes and qualities in names are the parameters `size` and `quality`.
"""
_OF_BY_TYPE = """\
By the second is `audio_seconds` of what is heard or spoken, `video_seconds` of a video, `session_seconds` of a
realtime session. By the image is a call price of what makes images, and `images` of an embedding. By the pixel is by
the image where the size is in the name. By the character is `characters`, by the query `searches` of a rerank. Where
the model has a price by the token, that is taken instead.
"""
_OF_METRICS = """\
What `GET /metrics` shows; [what to look at](../operating/metrics-and-logs.md). Times are seconds. A histogram `x` is
read as `x_bucket`, `x_sum` and `x_count`.
"""


def meters() -> str:
    """What usage is counted in, and whose rate a meter takes when the card names none."""
    rows = [
        (f"`{meter}`", _priced_for(meter), f"`{PARENT[meter]}`" if meter in PARENT else "", _side(meter))
        for meter in Meter
    ]
    return _page(
        "Meters",
        "src/farebox/tariff/meters.py",
        _OF_METERS,
        _table(("meter", "a bare price is for", "parent", "counts towards"), rows),
    )


def price_fields() -> str:
    """Every field of a request that moves a price, and what is done about it."""
    rows = {dialect.name: dialect.price_fields for dialect in DIALECTS}
    tables = [
        f"## {_addresses(name)}\n\n"
        + _table(("field", "", "how"), [(f"`{row.name}`", row.treatment.value, row.how) for row in fields])
        for name, fields in rows.items()
    ]
    return _page(
        "Fields that move a price",
        "src/farebox/wire/price_fields.py",
        _OF_PRICE_FIELDS,
        *tables,
    )


def dialects() -> str:
    """Which channels serve which endpoint, and what each chat dialect cannot say."""
    served = [
        (_addresses(name), *(_way(dialect, channel) for channel in CHANNEL_DIALECTS))
        for name, dialect in {dialect.name: dialect for dialect in DIALECTS}.items()
    ]
    columns = tuple(f"`{name}`" for name in CHAT)
    features = [
        (feature.value, *(row.treatment.value if row else "" for row in _rows(feature)))
        for feature in Feature
        if any(_rows(feature))
    ]
    reasons = [
        f"## To a channel that speaks `{name}`\n\n"
        + _table(
            ("asked for", "", "how"),
            [(feature.value, row.treatment.value, row.how) for feature, row in SPEECHES[name].table.items()],
        )
        for name in CHAT
    ]
    return _page(
        "Dialects",
        "src/farebox/wire/passage.py` and the tables in `src/farebox/wire/speeches.py",
        _OF_DIALECTS,
        _table(("endpoint", *(f"`{channel}`" for channel in CHANNEL_DIALECTS)), served),
        "## What is done about what a dialect cannot say",
        _OF_FEATURES,
        _table(("asked for", *columns), features),
        *reasons,
    )


def metrics() -> str:
    """Every metric, from a worker that has seen one of each."""
    families = text_string_to_metric_families(exposition(_one_of_each().counted).decode())
    rows = [
        (
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            ", ".join(f"`{label}`" for label in _labels(family.samples[0].labels)),
            family.documentation,
        )
        for family in families
    ]
    stages = ", ".join(f"`{stage}`" for stage, times in _one_of_each().counted.stages.items() if any(times.counts))
    return _page(
        "Metrics",
        "src/farebox/observe/exposition.py",
        _OF_METRICS,
        _table(("metric", "type", "labels", ""), rows) + f"\nStages: {stages}.\n",
    )


def price_sources() -> str:
    """What every field of others' price files means here."""
    units = [(f"`{unit}`", _named(meters), f"{per:,}") for unit, (meters, per) in UNITS.items()]
    units.append((f"`{ANNOTATED}`", "`pages`, where the parameter `annotations` is `true`", "1,000"))
    figures = [(f"`{name}`", f"`{meter}`") for name, (meter, _) in litellm_fields.FIGURES.items()]
    figures += [
        (f"`{name}`", f"`{meter}`, where the parameter `{parameter}` is `{value}`")
        for name, (meter, (parameter, value)) in litellm_fields.PARAMETER_FIGURES.items()
    ]
    counted = [(f"`{name}`", f"counted as `{meter}`") for name, meter in litellm_fields.COUNTED_AS.items()]
    files = [
        (f"`{source}`", f"{each.version}, taken {each.taken}", each.licence, each.home, f"`{each.sha256[:16]}…`")
        for source, each in shipped().items()
    ]
    return _page(
        "Others' prices",
        "src/farebox/tariff/genai_figures.py` and `src/farebox/tariff/litellm_fields.py",
        _OF_SOURCES,
        _table(("source", "version", "licence", "home", "SHA-256"), files),
        "## genai-prices",
        _OF_UNITS,
        _table(("unit", "meter", "a figure is for"), units),
        "No meter of ours, and charged as something dearer: " + _reasons(WITHOUT_METER),
        "No price: " + _reasons(import_genai_prices.NO_PRICE),
        _OF_DISAGREEMENTS,
        "\n".join(f"- {row.text}" for row in DISAGREEMENTS),
        "## LiteLLM",
        _OF_FIGURES,
        _table(("figure", "meter"), figures),
        _OF_BY_TYPE,
        "No meter of their own; refused where that is cheaper:",
        _table(("figure", ""), counted),
        "Refused unless they are zero, since they would not be charged:",
        _table(("figure", "why"), [(f"`{name}`", why) for name, why in litellm_fields.UNCOUNTED.items()]),
        "Left out, with a warning:",
        _table(("figure", "why"), [(f"`{name}`", why) for name, why in litellm_fields.NOT_OFFERED.items()]),
        "No price:",
        _table(("field", "why"), sorted((f"`{name}`", why) for name, why in litellm_fields.NO_PRICE.items())),
    )


PAGES: dict[str, Callable[[], str]] = {
    "meters.md": meters,
    "price-fields.md": price_fields,
    "dialects.md": dialects,
    "metrics.md": metrics,
    "price-sources.md": price_sources,
}


def _way(dialect: Dialect, channel: str) -> str:
    if is_native(dialect, channel):
        return "as it came"
    return "translated" if passage_between(dialect, channel) is not None else ""


def _rows(feature: Feature) -> list[Row | None]:
    return [SPEECHES[name].table.get(feature) for name in CHAT]


def _addresses(name: str) -> str:
    return ", ".join(f"`POST {dialect.path}`" for dialect in DIALECTS if dialect.name == name)


def _page(title: str, source: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", f"Generated from `{source}`.", *(part.rstrip("\n") for part in parts))) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n" for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head) + "\n")
    return "".join(lines).replace("|  |", "| |").replace("|  |", "| |")


def _named(meters: Iterable[Meter]) -> str:
    return ", ".join(f"`{meter}`" for meter in meters)


def _reasons(table: Mapping[str, str]) -> str:
    return "; ".join(f"`{name}` ({why})" for name, why in table.items()) + "."


def _priced_for(meter: Meter) -> str:
    per, unit = default_per(meter), UNIT_NAMES[meter].replace("_", " ")
    return f"{per:,} {unit}s" if per > 1 else f"1 {unit}"


def _side(meter: Meter) -> str:
    if meter in INPUT_TOKENS:
        return "input bound"
    return "output limit" if meter in OUTPUT_TOKENS else ""


def _labels(labels: dict[str, str]) -> list[str]:
    return [label for label in labels if label != "le"]


def _one_of_each() -> Metrics:
    seen = Metrics()
    trace = Trace("req_1", "/v1/chat/completions", channel="channel", stamp="provider")
    trace.admitted_at, trace.answered_at, trace.settling_at, trace.settled_at = 1.0, 2.0, 3.0, 4.0
    RequestWatch(seen, None).finished(trace, 200, "ok", 0.5)
    seen.ledger_failed("why")
    seen.upstream_healthy("channel", healthy=True)
    return seen


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
