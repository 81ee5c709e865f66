"""Reliability diagrams: the share of correct predictions against the mean score of each bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SIDE, _EDGE, _GAP = 240, 44, 36
_COLOURS = {"before": "#999999", "after": "#1f5fa8"}


def reliability_svg(report: Mapping[str, Any]) -> str:
    """An SVG page of `calibration.fit`'s report: a square for each task, grey before and blue after calibration."""
    squares = [_square(task, report[task], number) for number, task in enumerate(("entities", "relations"))]
    width, height = 2 * (_SIDE + _EDGE + _GAP), _SIDE + 2 * _EDGE
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
            f"{''.join(squares)}</svg>\n")


def _square(task: str, report: Mapping[str, Any], number: int) -> str:
    left = _EDGE + _GAP // 2 + number * (_SIDE + _EDGE + _GAP // 2)
    middle = _EDGE + _SIDE // 2
    ece = f"{100 * report['ece']['before']:.1f} % → {100 * report['ece']['after']:.1f} %"
    parts = [f'<text x="{left}" y="{_EDGE - 12}">{task}: error {ece}</text>',
             f'<rect x="{left}" y="{_EDGE}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#cccccc"/>',
             f'<line x1="{left}" y1="{_EDGE + _SIDE}" x2="{left + _SIDE}" y2="{_EDGE}" stroke="#cccccc" '
             'stroke-dasharray="4 4"/>',
             f'<text x="{left + _SIDE // 2}" y="{_EDGE + _SIDE + 30}" text-anchor="middle">mean score of a bin</text>',
             f'<text transform="translate({left - 30} {middle}) rotate(-90)" text-anchor="middle">share of correct</text>']
    parts += [f'<circle cx="{left + _SIDE - 58}" cy="{_EDGE + _SIDE - line}" r="4" fill="{_COLOURS[when]}"/>'
              f'<text x="{left + _SIDE - 48}" y="{_EDGE + _SIDE - line + 4}">{when}</text>'
              for when, line in (("before", 30), ("after", 14))]
    parts += [f'<text x="{left + share * _SIDE:.0f}" y="{_EDGE + _SIDE + 14}" text-anchor="middle">{share:g}</text>'
              f'<text x="{left - 6}" y="{_EDGE + _SIDE - share * _SIDE + 4:.0f}" text-anchor="end">{share:g}</text>'
              for share in (0, 0.5, 1)]
    parts += [_line(report["bins"][when], left, colour) for when, colour in _COLOURS.items()]
    return "".join(parts)


def _line(rows: Sequence[Sequence[float]], left: int, colour: str) -> str:
    largest = max((count for count, _, _ in rows), default=0)
    points = [(left + mean * _SIDE, _EDGE + _SIDE - share * _SIDE, 2 + 4 * (count / largest) ** 0.5)
              for count, mean, share in rows if count]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" fill="{colour}"/>' for x, y, size in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}"/>{dots}'
