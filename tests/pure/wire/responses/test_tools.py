"""The table of tools is the one that is written down."""

from __future__ import annotations

from tests.docs.pages import page

from farebox.wire.price_fields import Treatment
from farebox.wire.responses.price_fields import DEFAULT_TOOL_CALLS, TOOLS


def test_the_reference_lists_every_type_of_tool_with_its_treatment() -> None:
    reference = page("docs/reference/responses.md").text
    rows = "\n".join(f"| `{row.type}` | {row.treatment.value} | {row.how} |" for row in TOOLS)
    assert f"|---|---|---|\n{rows}\n\n" in reference
    assert f"without it {DEFAULT_TOOL_CALLS} are" in reference


def test_what_is_refused_has_no_meter() -> None:
    assert all(row.meter is None for row in TOOLS if row.treatment is Treatment.REFUSED)
