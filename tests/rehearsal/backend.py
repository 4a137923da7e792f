"""The device ``mirror`` as torch knows it: its backend, and autocast as CUDA has it."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

__all__ = ["DEVICE"]

_NAME = "mirror"


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0


_setup_privateuseone_for_python_backend(_NAME, backend_module=_Backend())
DEVICE = torch.device(_NAME, 0)


def _autocast_to(operation: Any, dtype: torch.dtype) -> Any:
    def cast(x: Any) -> Any:
        floats = isinstance(x, torch.Tensor) and x.is_floating_point() and x.dtype != torch.float64
        return x.to(dtype) if floats else x

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            return operation(*tree_map(cast, args), **tree_map(cast, kwargs))

    return call


# Autocast as CUDA has it: products in the lower precision, norms and softmaxes in float32.
_FALLBACK, _AUTOCAST = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_FALLBACK.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
for _one in ("mm", "bmm", "addmm", "baddbmm", "linear", "matmul"):
    _AUTOCAST.impl(_one, _autocast_to(getattr(torch.ops.aten, _one).default, torch.bfloat16), "AutocastPrivateUse1")
for _one in ("softmax", "log_softmax"):
    _AUTOCAST.impl(f"{_one}.int", _autocast_to(getattr(torch.ops.aten, _one).int, torch.float32), "AutocastPrivateUse1")
# One kernel, as CUDA has it; without an implementation of its own torch would put a dozen operations in its place.
_AUTOCAST.impl("mish_backward", torch.ops.aten.mish_backward.default, "PrivateUse1")
_AUTOCAST.impl("layer_norm", _autocast_to(torch.ops.aten.layer_norm.default, torch.float32), "AutocastPrivateUse1")
