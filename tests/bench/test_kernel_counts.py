"""Counts of the instructions, sectors and registers of the members that are chosen, against their limits."""

from __future__ import annotations

from pathlib import Path

import nvrtc
import pytest
from sweeps import slow

from gpu_logreg.passes.cuda.tuning.family import STORAGES, Family, admissible, choose_family
from gpu_logreg.passes.cuda.tuning.family_model import instructions_of_batch, sector_share


@pytest.fixture
def kernel_counts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))
    import kernel_counts

    return kernel_counts


@pytest.fixture
def counts(kernel_counts):
    if nvrtc.library() is None or kernel_counts.disassembler() is None:
        pytest.skip("the wheels nvidia-cuda-nvrtc and nvidia-cuda-nvdisasm are not installed")
    return kernel_counts.counts_of


def chosen(d: int, storage: str, real: str = "float32") -> Family:
    family = choose_family(d, storage, real)
    assert isinstance(family, Family)
    return family


# Issue over memory at most; None where memory sets the pace by far.
SHORT_16_BIT = [(d, storage, 0.7) for storage in ("float16", "bfloat16") for d in (28, 100)]
BYTES = [(28, "uint8", 1.3), *((d, "uint8", 1.0) for d in (64, 100, 128, 256, 512, 784, 1000, 1024, 2000))]
OTHERS = [
    (d, storage, 0.7)
    for storage in ("float32", "float16", "bfloat16")
    for d in (28, 64, 100, 128, 256, 512, 784, 1000, 1024, 2000)
    if (d, storage, 0.7) not in SHORT_16_BIT
]
FAST = [(28, "float16", 0.7), (100, "float32", 0.7), (28, "uint8", 1.3)]


@pytest.mark.parametrize(
    ("d", "storage", "limit"), [*FAST, *map(slow, (case for case in SHORT_16_BIT + BYTES + OTHERS if case not in FAST))]
)
def test_a_chosen_member_is_within_its_limits(counts, d, storage, limit):
    family = chosen(d, storage)
    found = counts(family, d, storage)
    assert found.issue_over_memory <= limit
    assert found.slow_over_memory <= 0.5
    assert found.spill_bytes == 0
    assert found.registers <= min(65_536 // (family.block * family.resident) // 8 * 8, 255)
    assert found.under_way >= 20_000
    # The model is near enough to the compiler for its choices to mean something.
    rows = family.rows * max(1, 32 // family.lanes) / max(1, family.lanes // 32)
    assert found.instructions * rows == pytest.approx(instructions_of_batch(family, d, storage, "float32"), rel=0.2)


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("d", [28, 64, 100, 128, 256, 512, 1024, 2000])
def test_chosen_members_touch_few_sectors_twice(kernel_counts, d, storage):
    family = chosen(d, storage)
    assert kernel_counts.touched_over_least(family, d, storage) <= 1.05


@pytest.mark.parametrize("storage", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("d", [28, 57, 64, 100, 784, 1000])
def test_the_model_counts_sectors_as_their_addresses_do(kernel_counts, d, storage):
    shares = set()
    for family in list(admissible(d, storage, "float32"))[::7]:
        counted = kernel_counts.touched_over_least(family, d, storage)
        shares.add(round(counted, 3))
        assert sector_share(family, d * STORAGES[storage]) == pytest.approx(counted, rel=0.06), family
    assert min(shares) >= 1


def test_sectors_of_rows_that_begin_in_the_middle_of_one(kernel_counts):
    """Rows of 400 bytes, 128 of them a load: four loads touch 13 + 5 + 5 + 5 + 1 or so sectors, of 12.5."""
    in_registers = Family(vec=16, lanes=8, chunks=4, rows=4, block=256, resident=2)
    assert kernel_counts.touched_over_least(in_registers, 100, "float32") == pytest.approx((13 + 16) / 25)
    striped = Family(vec=16, lanes=4, chunks=7, rows=2, block=128, resident=3, stages=1)
    assert kernel_counts.touched_over_least(striped, 100, "float32") == 1


LISTING = """
\t.section\t.text.other,"ax",@progbits
        /*0000*/                   MUFU.EX2 R1, R1 ;
\t.section\t.text.loss_and_gradient,"ax",@progbits
.text.loss_and_gradient:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/               @P0 EXIT ;
.L_x_1:
        /*0020*/                   LDG.E R2, desc[UR4][R4.64] ;
        /*0030*/                   BRA.DIV UR4, `(.L_x_9) ;
        /*0040*/              @!P1 BRA `(.L_x_2) ;
        /*0050*/                   IADD3 R1, R1, 0x1, RZ ;
        /*0060*/                   NOP ;
        /*0070*/                   FADD R1, R1, R1 ;
.L_x_2:
        /*0080*/               @P2 BRA `(.L_x_4) ;
.L_x_3:
        /*0090*/                   STS [R1], R2 ;
        /*00a0*/                   STS [R1], R2 ;
        /*00b0*/                   STS [R1], R2 ;
        /*00c0*/               @P3 BRA `(.L_x_3) ;
.L_x_4:
        /*00d0*/              @!P4 BRA `(.L_x_5) ;
        /*00e0*/                   CALL.REL.NOINC `(.L_x_8) ;
.L_x_5:
        /*00f0*/                   MUFU.EX2 R1, R1 ;
        /*0100*/               @P5 BRA `(.L_x_1) ;
        /*0110*/                   EXIT ;
.L_x_9:
        /*0120*/                   SHFL R1, R1 ;
        /*0130*/                   BRA `(.L_x_2) ;
\t.section\t.text.another,"ax",@progbits
        /*0000*/                   EXIT ;
"""


def test_the_steady_loop_is_the_longest_way_without_inner_loops_calls_and_diverged_lanes(kernel_counts):
    turn = kernel_counts.steady_loop(kernel_counts.blocks_of(LISTING, "loss_and_gradient"))
    words = ["LDG.E", "BRA.DIV", "BRA", "IADD3", "FADD", "BRA", "BRA", "MUFU.EX2", "BRA"]
    assert [instruction.opcode for instruction in turn] == words
    assert [instruction.predicate for instruction in turn][2] == "@!P1"
