"""What holds for every described target, and what the host is taken for."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from bough.ir.kernel_text import parse_kernel
from bough.targets import TARGETS, Memory, Target, as_dict, describe, host
from bough.targets.host import cache_sizes, cpu_features, with_cache_sizes

X86 = ("x86-64", "avx2", "avx512", "avx512-vnni", "avx512-bf16")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda t: t.name)
def test_every_operand_is_in_a_memory_of_the_target_and_every_extent_is_known(target: Target) -> None:
    places = {m.name for m in target.memories}
    assert target.vector_place in places
    assert len({i.name for i in target.instructions}) == len(target.instructions)
    for i in target.instructions:
        assert {o.place for o in i.kernel.operands.values()} <= places
        assert all(isinstance(a.extent, int) for a in i.kernel.axes)
        assert i.latency > 0 and i.issue > 0
        assert set(i.needs) <= set(target.features) | ({"fma"} if i.name.startswith("scalar.") else set())


def test_each_x86_target_has_the_features_of_the_one_before() -> None:
    features = [set(TARGETS[name].features) for name in X86]
    assert all(a <= b for a, b in zip(features, features[1:]))
    names = [{i.name for i in TARGETS[name].instructions} for name in X86]
    assert all(a < b for a, b in zip(names, names[1:]))
    assert [TARGETS[name].lanes for name in X86] == [1, 8, 16, 16, 16]


def test_the_widest_instructions_come_first() -> None:
    for name in X86:
        target = TARGETS[name]
        first = next(i for i in target.instructions if i.name.endswith(".fma"))
        assert first.kernel.axis("i").extent == target.lanes


def test_the_matrix_unit_is_no_processor() -> None:
    unit = TARGETS["matrix-unit"]
    assert not unit.triple and not unit.features
    assert all(i.spelling is None for i in unit.instructions)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another architecture")
def test_host_has_what_its_target_needs() -> None:
    target = host()
    assert set(target.features) <= cpu_features()
    assert target.name in TARGETS and target is host()
    for name, size in cache_sizes().items():
        assert target.memory(name).bytes == size


def test_sizes_of_the_machine_replace_nominal_ones() -> None:
    memories = (Memory("l1", "cache", 1), Memory("l2", "cache", 2))
    l1, l2 = with_cache_sizes(memories, {"l2": 5, "l9": 7})
    assert (l1.bytes, l2.bytes) == (1, 5)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc")
def test_features_are_named_as_llvm_names_them() -> None:
    assert not any(
        "_" in f and f.startswith(("sse4", "avx512_v", "avx512_b")) for f in cpu_features() & {"sse4_1", "avx512_vnni"}
    )


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda t: t.name)
def test_descriptions_name_everything(target: Target) -> None:
    text = describe(target)
    for m in target.memories:
        assert f"  {m.name}: {m.kind}" in text
    for i in target.instructions:
        assert f"kernel {i.name}(" in text
    data = json.loads(json.dumps(as_dict(target)))
    assert [parse_kernel(i["kernel"]) for i in data["instructions"]] == [i.kernel for i in target.instructions]


def test_description_of_an_instruction() -> None:
    assert """\
  kernel avx512.fmavv(acc: f32[16] in register, a: f32[16] in register, b: f32[16] in register) -> (acc: f32[16] in register)
    axes i: 16
    acc[i] = fma(a[i], b[i], acc[i])
    needs avx512f; latency 4; issue 2 per cycle; spelled
      %sum = call <16 x float> @llvm.fma.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %acc)
      ret <16 x float> %sum
""" in describe(TARGETS["avx512"])
