"""Pictures: well-formed, and the marks stand where the values say."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks import drawing
from benchmarks.drawing import Bars, Line, Lines

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: drawing.Chart) -> ElementTree.Element:
    return ElementTree.fromstring(drawing.picture([chart], title="a < b & c"))


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def test_a_line_rises_with_its_values_and_stops_where_there_is_none() -> None:
    line = Line("low", [(0, 1), (1, 10), (2, None), (3, 5)])

    path = drawn(Lines("waits", "minutes", "seconds", [line])).find(f".//{SVG}path")

    assert path is not None
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path.attrib["d"])]
    assert len(heights) == 3
    assert heights[1] < heights[2] < heights[0]
    assert path.attrib["d"].count("M") == 2


@pytest.mark.parametrize("log", [False, True])
def test_bars_are_as_tall_as_their_values(log: bool) -> None:
    bars = Bars("p99", "seconds", ["FIFO", "strict"], {"low": [2, 40], "high": [None, 8]}, log=log)

    root = drawn(bars)

    found = [each for each in root.iter(f"{SVG}rect") if "x" in each.attrib]
    marks = [each for each in found if each.attrib["width"] != "11"]
    heights = [float(each.attrib["height"]) for each in marks]
    assert len(heights) == 3
    assert heights[0] < heights[2] < heights[1]


def test_everything_is_named() -> None:
    chart = Lines("waits", "minutes", "seconds", [Line("low", [(0, 1)])], limits={"limit": 3})

    assert {"a < b & c", "waits", "minutes", "seconds", "low", "limit"} <= set(texts(drawn(chart)))


def test_a_logarithmic_axis_counts_in_powers_of_ten() -> None:
    chart = Lines("waits", "x", "y", [Line("low", [(0, 0.0), (1, 900.0)])], log=True, least=0.1)

    assert {"0.1", "1", "10", "100", "1,000"} <= set(texts(drawn(chart)))


def test_nothing_to_draw_is_drawn() -> None:
    assert texts(drawn(Bars("empty", "y", [], {})))
    assert texts(drawn(Lines("empty", "x", "y", [Line("none", [])])))
