"""Whatever a record says, it stays text."""

from __future__ import annotations

import json

import pytest

from pwm_bench.analysis.report.markup import Markup, fill, joined, script_json, tag
from tests.pwm_bench.analysis.report.studies import HOSTILE


def test_text_is_escaped_and_markup_is_not():
    inner = tag("b", "1 < 2")
    assert inner == "<b>1 &lt; 2</b>"
    assert tag("p", inner, " & more") == "<p><b>1 &lt; 2</b> &amp; more</p>"
    assert joined([Markup("<i>"), "<i>"], "<") == "<i>&lt;&lt;i&gt;"


def test_attributes():
    made = tag("input", class_="a", aria_label='say "x" <y>', checked=True, disabled=False, title=None)
    assert made == '<input class="a" aria-label="say &quot;x&quot; &lt;y&gt;" checked>'


def test_json_cannot_leave_its_element():
    value = {"name": HOSTILE, "comment": "<!-- <script>", "numbers": [1.5, float("nan"), float("inf"), 2], HOSTILE: ()}
    text = script_json(value)
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {
        "name": HOSTILE, "comment": "<!-- <script>", "numbers": [1.5, None, None, 2], HOSTILE: [],
    }  # fmt: skip


def test_a_value_that_looks_like_a_place_is_left_alone():
    assert fill("{{a}} {{b}} {c}", {"a": "{{b}}", "b": "{{a}}"}) == "{{b}} {{a}} {c}"
    with pytest.raises(KeyError):
        fill("{{a}}", {})
