"""Estimates: the most a request can be charged, as an exact line over its output, and a likely case.

Enters: a compiled card, what is known of the circumstances, and bounds on the quantities.
Leaves: an `Estimate` for admission, with the promise (Law 1, d06, d07) that for every usage
within the bounds and every circumstance that is still possible

    charge ≤ price(output) = ceil((input_numerator + output × output_numerator) / denominator)

Never guesses low: what is not stated counts at its dearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm

import msgspec

from farebox.money import Nano, round_up
from farebox.tariff.compiled import CompiledCard, Method, Unpriced, WorstPrices
from farebox.tariff.conditions import Circumstances, Prospect
from farebox.tariff.meters import TOKENS, Meter, Usage
from farebox.tariff.rate import ONE, Factor, amount_of, call_amount_of
from farebox.tariff.worst_case import worst_prices

TYPICAL_OUTPUT_TOKENS = 500
"""The output a quote calls likely, per choice, where the limits allow it."""

_BY_CALL = Method.CALL

TEXT_ONLY: Mapping[Meter, int] = {
    Meter.INPUT_AUDIO: 0,
    Meter.CACHED_AUDIO: 0,
    Meter.INPUT_IMAGE: 0,
    Meter.CACHED_IMAGE: 0,
    Meter.INPUT_VIDEO: 0,
    Meter.OUTPUT_AUDIO: 0,
    Meter.OUTPUT_IMAGE: 0,
    Meter.OUTPUT_VIDEO: 0,
}
"""`at_most` of a request that carries text and asks for text."""


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """The largest quantities a request can cause."""

    input_tokens: int = 0
    """All input together, whichever meters it will be counted under."""
    output_limit: int | None = None
    """The caller's own limit for each choice; None: it named none."""
    output_max: int = 0
    """The most the model can produce for each choice; 0: it produces no tokens."""
    choices: int = 1
    at_most: Mapping[Meter, int] = {}
    """Narrower bounds by meter, over all choices. A token meter not named here may take the whole input or
    output; any other meter not named here does not occur."""
    units: int = 1
    """Units of a call price asked for: images, clips."""
    typical: tuple[Meter, int] = (Meter.OUTPUT, TYPICAL_OUTPUT_TOKENS)
    """The output a quote calls likely for each choice, where the limits allow it."""


class NotCovered(msgspec.Struct, frozen=True):
    """The call price does not pay for that much input; `input_covered` tokens is its bound."""

    input_covered: int


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """The worst case of a request, as a line over its output tokens (all choices together)."""

    method: Method
    input_numerator: int
    output_numerator: int
    denominator: int
    output_limit: int | None
    """The caller's own limit times the choices."""
    output_max: int
    """The most the model can produce, times the choices; 0 where output has no price of its own."""

    def price(self, output_tokens: int) -> Nano:
        """What input and this much output can be charged, rounded up."""
        return Nano(round_up(self.input_numerator + output_tokens * self.output_numerator, self.denominator))

    @property
    def largest_output(self) -> int:
        """The largest output the request can cause."""
        return self.output_max if self.output_limit is None else self.output_limit

    @property
    def worst(self) -> Nano:
        """What the request can be charged at most."""
        return self.price(self.largest_output)

    def output_tokens_within(self, amount: Nano) -> int | None:
        """The most output that `amount` surely pays for, at most the largest; None: not even the input."""
        left = amount * self.denominator - self.input_numerator
        if left < 0:
            return None
        if not self.output_numerator:
            return self.largest_output
        return min(left // self.output_numerator, self.largest_output)


def estimate(
    card: CompiledCard, *, method: Method, prospect: Prospect, bounds: Bounds, factor: Factor = ONE
) -> Estimate | Unpriced | NotCovered:
    """The worst case of a request charged by `method`.

    `Unpriced` where any meter that could be counted could turn out to have no price (Law 10).
    """
    worst = worst_prices(card, prospect, bounds.input_tokens)
    if method is _BY_CALL:
        return _of_call(worst, bounds, factor)
    line = _line(worst, bounds)
    if isinstance(line, Unpriced):
        return line
    return Estimate(
        method,
        line[0] * factor.numerator,
        line[1] * factor.numerator,
        worst.denominator * factor.denominator,
        None if bounds.output_limit is None else bounds.output_limit * bounds.choices,
        bounds.output_max * bounds.choices,
    )


def dearest(first: Estimate, *others: Estimate) -> Estimate:
    """One line above several: the hold covers the dearest eligible offer at any output."""
    denominator = lcm(first.denominator, *[other.denominator for other in others])
    lines = (first, *others)
    limits = [line.output_limit for line in lines if line.output_limit is not None]
    return Estimate(
        first.method,
        max(line.input_numerator * (denominator // line.denominator) for line in lines),
        max(line.output_numerator * (denominator // line.denominator) for line in lines),
        denominator,
        max(limits, default=None),
        max(line.output_max for line in lines),
    )


def likely(
    card: CompiledCard, *, method: Method, circumstances: Circumstances, bounds: Bounds, factor: Factor = ONE
) -> Nano | Unpriced:
    """What a quote calls likely: plain input in full, a typical output, every other bound met. No promise."""
    output = bounds.output_max if bounds.output_limit is None else bounds.output_limit
    usage = {meter: bound for meter, bound in bounds.at_most.items() if meter not in TOKENS}
    usage[Meter.INPUT] = bounds.input_tokens
    usage[bounds.typical[0]] = min(output, bounds.typical[1]) * bounds.choices
    if method is Method.CALL:
        return call_amount_of(card, units=bounds.units, circumstances=circumstances, usage=Usage(usage), factor=factor)
    return amount_of(card, usage=Usage(usage), circumstances=circumstances, factor=factor)


def _of_call(worst: WorstPrices, bounds: Bounds, factor: Factor) -> Estimate | Unpriced | NotCovered:
    if worst.call_numerator is None:
        return Unpriced(None)
    if worst.input_covered is not None and bounds.input_tokens > worst.input_covered:
        return NotCovered(worst.input_covered)
    amount = bounds.units * worst.call_numerator * factor.numerator
    return Estimate(Method.CALL, amount, 0, worst.denominator * factor.denominator, None, 0)


def _line(worst: WorstPrices, bounds: Bounds) -> tuple[int, int] | Unpriced:
    """What does not depend on output, and the slope over output."""
    fixed = _input_part(worst, bounds)
    if isinstance(fixed, Unpriced):
        return fixed
    output: tuple[int, int] | Unpriced = (0, 0)
    if bounds.output_max or bounds.output_limit:
        output = _output_part(worst, bounds.at_most)
        if isinstance(output, Unpriced):
            return output
    for meter, bound in bounds.at_most.items():
        if bound and meter not in TOKENS:
            if meter not in worst.numerators:
                return Unpriced(meter)
            fixed += bound * worst.numerators[meter]
    return fixed + output[0], output[1]


def _input_part(worst: WorstPrices, bounds: Bounds) -> int | Unpriced:
    """Fill the input with its dearest meters, each up to its own bound."""
    left, total, at_most = bounds.input_tokens, 0, bounds.at_most
    for meter, numerator in worst.dearest_input:
        if not left:
            break
        bound = at_most.get(meter)
        share = left if bound is None or bound > left else bound
        if share:
            if numerator is None:
                return Unpriced(meter)
            total += share * numerator
            left -= share
    return total


def _output_part(worst: WorstPrices, at_most: Mapping[Meter, int]) -> tuple[int, int] | Unpriced:
    """The slope is the dearest meter that may take any output; dearer, bounded ones add their surplus."""
    bounded: list[tuple[int, int]] = []
    slope = 0
    for meter, numerator in worst.dearest_output:
        bound = at_most.get(meter)
        if bound == 0:
            continue
        if numerator is None:
            return Unpriced(meter)
        if bound is None:
            slope = numerator
            break
        bounded.append((bound, numerator))
    if not bounded:
        return 0, slope
    return sum([bound * (numerator - slope) for bound, numerator in bounded]), slope
