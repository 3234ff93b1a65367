"""Figures of LiteLLM's file whose meaning depends on what a model makes: by the second, image, pixel, character, query.

Enters: a sheet that has its tokens read already. Leaves: prices on it, or problems. Where a model
is priced by the token as well, such a figure is a second way to say the same price and is left
out, with a word; adding both would charge the same work twice. Embeddings are the exception:
their text is tokens, and their images and recordings are not.
"""

from __future__ import annotations

from fractions import Fraction

from farebox.tariff.conditions import When
from farebox.tariff.litellm_fields import RESOLUTIONS
from farebox.tariff.litellm_sheet import STANDARD, Place, Sheet
from farebox.tariff.meters import Meter
from farebox.tariff.price_list import ModelType

_BY_SECOND = {
    ModelType.AUDIO_TRANSCRIPTION: Meter.AUDIO_SECONDS,
    ModelType.AUDIO_SPEECH: Meter.AUDIO_SECONDS,
    ModelType.VIDEO_GENERATION: Meter.VIDEO_SECONDS,
    ModelType.REALTIME: Meter.SESSION_SECONDS,
}
_BY_QUERY = {ModelType.RERANK: Meter.SEARCHES, ModelType.EMBEDDING: Meter.CALLS}


def read_media(sheet: Sheet) -> None:
    """Read every field of `litellm_fields.BY_TYPE`."""
    _read_seconds(sheet)
    _read_embedded(sheet)
    _read_images(sheet)
    _read_characters(sheet)
    _read_resolutions(sheet)
    queries = sheet.number("input_cost_per_query")
    if queries:
        meter = _BY_QUERY.get(sheet.kind)
        if meter is None:
            sheet.problems.refuse("input_cost_per_query: nothing of this type is counted by the query")
        else:
            sheet.put(STANDARD, meter, queries)
    _refuse_beyond_thresholds(sheet)


def image_price(sheet: Sheet, size: tuple[int, int] | None) -> Fraction | None:
    """What one image costs, of a size where the price is by the pixel. None: it is not priced so."""
    made, given = sheet.number("output_cost_per_image"), sheet.number("input_cost_per_image")
    if made:
        if given:
            sheet.problems.refuse("input_cost_per_image: images sent are not counted apart from images made")
        return made
    pixels = [sheet.number("output_cost_per_pixel"), sheet.number("input_cost_per_pixel")]
    by_pixel = sum((price for price in pixels if price), Fraction(0))
    if by_pixel and not given:
        if size is None:
            sheet.problems.refuse("input_cost_per_pixel: no meter counts pixels, and no size is stated")
            return None
        return by_pixel * size[0] * size[1]
    return given if given is not None else made


def _read_seconds(sheet: Sheet) -> None:
    if sheet.number("cost_per_second"):
        sheet.problems.refuse("cost_per_second: the price of reserved capacity, whatever is called")
    names = ("output_cost_per_video_per_second", "output_cost_per_second", "input_cost_per_second")
    stated = {name: price for name in names if (price := sheet.number(name)) is not None}
    prices = {price for price in stated.values() if price} or set(stated.values())
    if not prices or _is_alternative(sheet, stated):
        return
    meter = _BY_SECOND.get(sheet.kind)
    if meter is None:
        if any(prices):
            sheet.problems.refuse(f"{', '.join(stated)}: the time of machines, which no meter here counts")
    elif len(prices) > 1:
        sheet.problems.refuse(f"{', '.join(stated)}: two different prices for one second")
    else:
        sheet.put(STANDARD, meter, prices.pop())


def _read_embedded(sheet: Sheet) -> None:
    """Recordings that are sent: beside text where an embedding is made of them, else another way to say tokens."""
    for name, meter in (
        ("input_cost_per_audio_per_second", Meter.AUDIO_SECONDS),
        ("input_cost_per_video_per_second", Meter.VIDEO_SECONDS),
    ):
        price = sheet.number(name)
        if price and sheet.kind is ModelType.EMBEDDING:
            sheet.put(STANDARD, meter, price)
        elif price and not _is_alternative(sheet, {name: price}):
            sheet.problems.refuse(f"{name}: nothing of this type is counted by the second sent")


def _read_images(sheet: Sheet) -> None:
    stated = {name: price for name in _IMAGE_FIGURES if (price := sheet.number(name))}
    if not stated:
        return
    if sheet.kind is ModelType.EMBEDDING:
        sheet.put(STANDARD, Meter.IMAGES, stated.get("input_cost_per_image", Fraction(0)))
    elif _is_alternative(sheet, stated):
        return
    elif sheet.kind is not ModelType.IMAGE_GENERATION:
        sheet.problems.refuse(f"{', '.join(stated)}: images of a model that makes none are not counted")
    else:
        price = image_price(sheet, None)
        if price is not None:
            sheet.calls.append((None, price))


def _read_characters(sheet: Sheet) -> None:
    sent, made = sheet.number("input_cost_per_character"), sheet.number("output_cost_per_character")
    if not sent and not made:
        return
    if sheet.priced_by_token:
        sheet.problems.warn("input_cost_per_character: the price by token is taken instead")
    elif made:
        sheet.problems.refuse("output_cost_per_character: characters are counted of what is sent")
    else:
        sheet.put(STANDARD, Meter.CHARACTERS, (sent or Fraction(0)) * 1_000_000, 1_000_000)


def _read_resolutions(sheet: Sheet) -> None:
    for name in sheet.fields:
        match = RESOLUTIONS.fullmatch(name)
        price = None if match is None else sheet.number(name)
        if match is None or price is None:
            continue
        if match[1] == "output_cost_per_image":
            sheet.calls.append((When(parameters={"resolution": match[2]}), price))
        elif sheet.kind is ModelType.VIDEO_GENERATION:
            sheet.put(Place(parameter=("resolution", match[2])), Meter.VIDEO_SECONDS, price)
        else:
            sheet.problems.refuse(f"{name}: a resolution of something that is no video")


def _refuse_beyond_thresholds(sheet: Sheet) -> None:
    """Thresholds on input move tokens only; for anything else they must be zero, as all else then is."""
    for name in sheet.fields:
        if name.endswith("_above_128k_tokens") and not name.startswith(_TOKENS) and sheet.number(name):
            sheet.problems.refuse(f"{name}: a threshold on something that is not tokens")


def _is_alternative(sheet: Sheet, stated: dict[str, Fraction]) -> bool:
    """Whether the price by token says the same already."""
    if not sheet.priced_by_token:
        return False
    if any(stated.values()):
        sheet.problems.warn(f"{', '.join(stated)}: the price by token is taken instead")
    return True


_IMAGE_FIGURES = ("input_cost_per_image", "output_cost_per_image", "input_cost_per_pixel", "output_cost_per_pixel")
_TOKENS = ("input_cost_per_token", "output_cost_per_token", "cache_")
