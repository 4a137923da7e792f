"""The checksum at the end of a JSON file."""

from __future__ import annotations

import hashlib
import json

import pytest

from pwm_bench.store.seal import AlteredError, check_seal, seal, seal_text, without_seal

VALUES = {"name": 'a "b" }', "sha256 of": {"sha256": "0" * 64}, "numbers": [1, 2.5, None]}


@pytest.mark.parametrize("indent", [None, 1, 2])
def test_a_sealed_file_is_json_with_the_checksum_of_what_stands_before_it(indent):
    text = seal(VALUES, indent=indent)
    values = json.loads(text)
    assert list(values) == [*VALUES, "sha256"]
    assert without_seal(values) == VALUES
    assert values["sha256"] == hashlib.sha256(text[: text.rindex('"sha256"')].encode()).hexdigest()
    check_seal(text.encode())


def test_its_layout_is_that_of_the_other_keys():
    assert seal({"a": 1}).startswith('{"a": 1, "sha256": "')
    assert seal({"a": 1}).endswith('"}\n')
    lines = seal({"a": 1}, indent=2).splitlines()
    assert lines[1] == '  "a": 1,'
    assert lines[2].startswith('  "sha256": "')
    assert lines[3] == "}"
    assert seal_text('{"a": 1}\n') == seal({"a": 1})


def test_every_changed_missing_or_added_byte_is_found():
    content = seal(VALUES).encode()
    for place in range(len(content) - 1):  # the last is the new line
        for other in (
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
            content[:place] + content[place + 1 :],
            content[:place] + b"0" + content[place:],
        ):
            if other.strip() != content.strip():
                with pytest.raises(AlteredError):
                    check_seal(other)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"a": 1}', b'"sha256": "', b'{"sha256": null}'])
def test_what_has_no_checksum_is_not_taken_for_sealed(content):
    with pytest.raises(AlteredError, match="checksum"):
        check_seal(content)
