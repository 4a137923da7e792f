"""What Python tells the kernels has the names and the order of their structs in C++."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from pwm_bench.learning import adam_native, epilogue_kernels, network_kernels
from pwm_bench.learning.epilogue_kernels import Key


def fields(source: Path, struct: str) -> list[str]:
    """The members of a struct, in order."""
    body = re.search(rf"struct {struct} \{{(.*?)\}};", source.read_text(), re.DOTALL)[1]
    declared = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).replace(";", ",").split(",")
    return [re.search(r"(\w+)(\[\d+\])?$", name.strip())[1] for name in declared if name.strip()]


def test_members_are_read_from_the_text(tmp_path: Path) -> None:
    source = tmp_path / "a.cpp"
    source.write_text("struct A {\n    const B* b; /* c; */\n    real *e, *f;\n    wp::int64 g, h;\n    B i[3];\n};\n")
    assert fields(source, "A") == ["b", "e", "f", "g", "h", "i"]


@pytest.mark.parametrize(
    ("source", "mirror", "further"),
    [
        (adam_native._SOURCE, adam_native._Adam, []),
        (adam_native._SOURCE, adam_native._Settings, ["tensor"]),
        (adam_native._SOURCE, adam_native._Sizes, []),
        (network_kernels._NETWORK, network_kernels._Network, []),
        (network_kernels._NETWORK, network_kernels._Layer, []),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_mirror_of_a_struct_has_its_fields(source: Path, mirror, further: list[str]) -> None:
    assert fields(source, mirror.__name__.removeprefix("_")) == [*mirror._fields, *further]


def test_a_kernel_s_variables_are_the_fields_in_order() -> None:
    lines = epilogue_kernels._text("backward", Key("elu", True, 1), 8, torch.bfloat16).splitlines()
    assert "const stored* g = (const stored*)p[0];" in lines
    assert "real* sums = (real*)p[7];" in lines
    assert "const wp::int64 eps_bits = p[8];" in lines
    assert "const wp::int64 start = p[15];" in lines
