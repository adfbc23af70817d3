"""Which rows of a training set are held out to evaluate on: a share of it, the same everywhere.

Rows are taken by digests of what they ask: neither their order nor the machine plays a part. What
is the same or nearly the same stays on one side.
"""

from __future__ import annotations

from array import array
from fractions import Fraction

import numpy
from numpy.typing import NDArray

from kfp_llm_tuning.components.common.errors import Problem, UserError
from kfp_llm_tuning.components.data.formats.format import Format
from kfp_llm_tuning.components.data.reading.findings import Findings
from kfp_llm_tuning.components.data.reading.places import Place
from kfp_llm_tuning.components.data.reading.scan import scan
from kfp_llm_tuning.components.data.rows import Row
from kfp_llm_tuning.components.data.similarity.files import SketchFile
from kfp_llm_tuning.components.data.similarity.inputs import digest, input_and_output, level_text
from kfp_llm_tuning.components.data.similarity.near_duplicates import NearDuplicates
from kfp_llm_tuning.components.data.similarity.sketches import sketch
from kfp_llm_tuning.components.models.dataset_limits import DatasetLimits

_WHERE = "evaluation_fraction"
# 2**64 divided by the golden ratio, and the two factors of splitmix64 (Steele, Lea and Flood 2014).
_GOLDEN = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class RowInputs:
    """What is kept of rows to hold some of them out; takes them as a scan visits them."""

    def __init__(self) -> None:
        """Starts with no row."""
        self._keys = array("Q")
        self._sketches = SketchFile()

    def add(self, place: Place, row: Row) -> None:
        """Takes the next row."""
        text = level_text(input_and_output(row)[0])
        self._keys.append(digest(text))
        self._sketches.append(sketch(text))

    def hold_out(self, fraction: float, seed: int, limits: DatasetLimits) -> NDArray[numpy.bool_]:
        """Chooses the rows to evaluate on.

        Args:
            fraction: Their share of all rows, from 0 to 1, as near as rows that belong together
                allow, and never more.
            seed: Another one gives others.
            limits: The model's: fewest and most rows.

        Returns:
            Whether each row, in the order in which they were added, is held out.

        Raises:
            UserError: If too few rows can be.
        """
        rows, least = len(self._keys), limits.minimum_examples
        wanted = round(Fraction(repr(fraction)) * rows)
        if limits.maximum_evaluation_examples is not None:
            wanted = min(wanted, limits.advised_evaluation_examples)
        if wanted < least:
            raise UserError(_too_few(fraction, rows, wanted, least))
        keys = numpy.asarray(self._keys)
        # Of each row the first row of its group; of each first row how many it stands for.
        groups = NearDuplicates(self._sketches, keys).groups
        sizes = numpy.bincount(groups)
        firsts = numpy.flatnonzero(sizes).astype(numpy.int32)
        order = firsts[numpy.argsort(_mixed(keys[firsts], seed), kind="stable")]
        held_out: NDArray[numpy.bool_] = _take(order, sizes, wanted)[groups]
        if (count := int(held_out.sum())) < least:
            raise UserError(_too_alike(rows, count, least))
        return held_out


def hold_out(
    uri: str, expected: Format, fraction: float, seed: int, limits: DatasetLimits
) -> NDArray[numpy.bool_]:
    """Reads a training set and chooses the rows to evaluate on.

    Args:
        uri: The training set.
        expected: The format of its rows.
        fraction: As in `RowInputs.hold_out`.
        seed: As there.
        limits: As there.

    Returns:
        Whether each good row is held out, in the order in which `scan` visits them.

    Raises:
        UserError: If too few rows can be, or the file cannot be opened.
    """
    inputs = RowInputs()
    # What is wrong with rows is told by whoever reads them for good.
    scan(uri, expected, Findings(0), inputs.add)
    return inputs.hold_out(fraction, seed, limits)


def _take(
    order: NDArray[numpy.int32], sizes: NDArray[numpy.int64], wanted: int
) -> NDArray[numpy.bool_]:
    """Takes groups in an order, but none of more rows than are still wanted."""
    taken = numpy.zeros(len(sizes), numpy.bool_)
    for group in order:
        if not wanted:
            break
        if sizes[group] <= wanted:
            taken[group] = True
            wanted -= int(sizes[group])
    return taken


def _mixed(keys: NDArray[numpy.uint64], seed: int) -> NDArray[numpy.uint64]:
    """Hashes keys with a seed (splitmix64): the order that they are taken in."""
    mixed = keys + numpy.uint64((seed + 1) * _GOLDEN % 2**64)
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        mixed = (mixed ^ (mixed >> numpy.uint64(shift))) * numpy.uint64(factor)
    return mixed ^ (mixed >> numpy.uint64(31))


def _too_few(fraction: float, rows: int, wanted: int, least: int) -> Problem:
    what = f"{fraction:g} of {rows:,} examples are {wanted:,}: too few to evaluate on."
    return Problem(what, _WHERE, f"a share of at least {least} examples", _advice(rows, least))


def _too_alike(rows: int, found: int, least: int) -> Problem:
    what = (
        f"so many of the {rows:,} examples are nearly the same, and must stay together, that only "
        f"{found:,} can be held out."
    )
    return Problem(what, _WHERE, f"at least {least} examples", _advice(rows, least))


def _advice(rows: int, least: int) -> str:
    enough = Fraction(least, max(rows, 1))
    if enough > Fraction(1, 2):
        return "Give evaluation_data_uri, or more examples."
    share = -(-enough.numerator * 100 // enough.denominator) / 100
    return f"Give {_WHERE}={min(share, 0.5):g} or more, more examples, or evaluation_data_uri."
