from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

DT = [torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize("dt", DT)
def test_nn(check, dt):
    torch.manual_seed(0)
    t = dict(rtol=2e-2, atol=2e-2) if dt == torch.bfloat16 else {}
    x = torch.randn(3, 4, 7, 6, dtype=dt)
    w, b = torch.randn(4, dtype=dt), torch.randn(4, dtype=dt)
    m, v = torch.randn(4, dtype=dt), torch.rand(4, dtype=dt) + 0.1
    check("softmax", [x], x.softmax(1), axis=1, **t)
    check("log_softmax", [x], x.log_softmax(-1), axis=-1, **t)
    check("batch_norm", [x, m, v, w, b], F.batch_norm(x, m, v, w, b), eps=1e-5, **t)
    check("batch_norm", [x, m, v, None, None], F.batch_norm(x, m, v), eps=1e-5, **t)
    check("group_norm", [x, w, b], F.group_norm(x, 2, w, b, 1e-4), groups=2, eps=1e-4, dynamic=False, **t)
    w2, b2 = torch.randn(7, 6, dtype=dt), torch.randn(7, 6, dtype=dt)
    check("layer_norm", [x, w2, b2], F.layer_norm(x, (7, 6), w2, b2), axes=2, eps=1e-5, **t)
    check("rms_norm", [x, w2], F.rms_norm(x, (7, 6), w2, 1e-5), axes=2, eps=1e-5, **t)
    check("rms_norm", [x, None], F.rms_norm(x, (6,)), axes=1, eps=None, **t)


@pytest.mark.parametrize("dt", DT)
def test_conv(check, dt):
    torch.manual_seed(0)
    t = dict(rtol=2e-2, atol=5e-2) if dt == torch.bfloat16 else {}
    x = torch.randn(3, 4, 9, 11, dtype=dt)
    w, b = torch.randn(6, 4, 3, 2, dtype=dt), torch.randn(6, dtype=dt)
    fixed = frozenset({2, 3})
    f3 = frozenset({2, 3, 1})
    check("convolution", [x, w, b], F.conv2d(x, w, b), fixed=fixed, **t)
    check("convolution", [x, w, None], F.conv2d(x, w, None, (2, 3), (1, 2), (2, 1)), fixed=fixed, stride=(2, 3), padding=(1, 2), dilation=(2, 1), **t)
    w = torch.randn(6, 2, 3, 3, dtype=dt)
    check("convolution", [x, w, b], F.conv2d(x, w, b, 1, 1, 1, 2), dynamic=False, padding=(1, 1), groups=2, **t)
    w = torch.randn(8, 1, 3, 3, dtype=dt)
    check("convolution", [x, w, None], F.conv2d(x, w, None, 1, 1, 1, 4), dynamic=False, padding=(1, 1), groups=4, **t)
    w = torch.randn(4, 3, 3, 2, dtype=dt)
    check("convolution", [x, w, None], F.conv_transpose2d(x, w, None, 2, 1, (1, 0), 2, (1, 2)), transposed=True, stride=(2,), padding=(1,), output_padding=(1, 0), groups=2, dilation=(1, 2), dynamic=False, **t)
    w = torch.randn(4, 3, 5, dtype=dt)
    check("convolution", [x[:, :, 0], w, None], F.conv_transpose1d(x[:, :, 0], w, None, 3, 5), transposed=True, stride=(3,), padding=(5,), fixed=frozenset({5}), **t)
    w = torch.randn(2, 4, 5, dtype=dt)
    check("convolution", [x[:, :, 0], w, None], F.conv1d(x[:, :, 0], w, None, 3, 5), stride=(3,), padding=(5,), fixed=frozenset({5}), **t)


@pytest.mark.parametrize("dt", DT)
def test_pool(check, dt):
    torch.manual_seed(0)
    t = dict(rtol=2e-2, atol=5e-2) if dt == torch.bfloat16 else {}
    x = torch.randn(2, 3, 9, 11, dtype=dt)
    check("max_pool", [x], F.max_pool2d(x, 2), window=(2, 2))
    check("max_pool", [x], F.max_pool2d(x, (3, 2), 2, 1, (1, 2), True), window=(3, 2), stride=(2, 2), padding=(1, 1), dilation=(1, 2), ceil_mode=True)
    check("avg_pool", [x], F.avg_pool2d(x, 2), window=(2, 2), **t)
    for ceil in (0, 1):
        for include in (0, 1):
            check("avg_pool", [x], F.avg_pool2d(x, 3, 2, 1, bool(ceil), bool(include)), window=(3, 3), stride=(2, 2), padding=(1, 1), ceil_mode=bool(ceil), count_include_pad=bool(include), **t)
    check("avg_pool", [x], F.avg_pool2d(x, 3, 2, divisor_override=5), window=(3, 3), stride=(2, 2), divisor=5, **t)
    for size in ((1, 1), (3, 11), (4, 5), (12, 20)):
        check("adaptive_avg_pool", [x], F.adaptive_avg_pool2d(x, size), size=size, **t)
        check("adaptive_max_pool", [x], F.adaptive_max_pool2d(x, size), size=size, **t)


@pytest.mark.parametrize("dt", DT)
def test_attention(check, dt):
    torch.manual_seed(0)
    t = dict(rtol=3e-2, atol=3e-2) if dt == torch.bfloat16 else {}
    q, k, v = torch.randn(2, 4, 5, 6, dtype=dt), torch.randn(2, 4, 7, 6, dtype=dt), torch.randn(2, 4, 7, 3, dtype=dt)
    A = F.scaled_dot_product_attention
    check("attention", [q, k, v, None], A(q, k, v), **t)
    check("attention", [q, k, v, None], A(q, k, v, is_causal=True, scale=0.3), causal=True, scale=0.3, **t)
    mask = torch.rand(5, 7) > 0.4
    mask[2] = False
    check("attention", [q, k, v, mask], A(q, k, v, mask), **t)
    mask = torch.randn(2, 1, 5, 7, dtype=dt)
    check("attention", [q, k, v, mask], A(q, k, v, mask), **t)
    k, v = torch.randn(2, 2, 7, 6, dtype=dt), torch.randn(2, 2, 7, 3, dtype=dt)
    check("attention", [q, k, v, None], A(q, k, v, enable_gqa=True), dynamic=False, **t)
