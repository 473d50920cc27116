"""A kernel's machine code, as nvdisasm shows it: its basic blocks, and the instructions of its steady loop."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One line of the disassembler."""

    opcode: str
    """With its modifiers, as ``LDG.E.128``."""
    operands: str
    predicate: str
    """As ``@!P0``; empty where it is always executed."""


class Block(NamedTuple):
    """Instructions that are executed together, and the numbers of the blocks that may come next."""

    instructions: list[Instruction]
    next: list[int]


@functools.cache
def disassembler() -> str | None:
    """Path of nvdisasm, from its wheel, from that of Triton or from the path; None where there is none."""
    for package, place in (("nvidia.cu13", "bin"), ("triton", "backends/nvidia/bin")):
        try:
            spec = find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            path = Path(folder, place, "nvdisasm")
            if path.exists():
                return str(path)
    return shutil.which("nvdisasm")


def disassemble(cubin: bytes) -> str:
    """The text of nvdisasm for a binary with one kernel."""
    path = disassembler()
    assert path is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([path, "-c", file.name], check=True, capture_output=True, text=True).stdout


def blocks_of(text: str, kernel: str) -> list[Block]:
    """Basic blocks of a kernel, in the order of its text."""
    lines: list[tuple[str | None, Instruction | None]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith((".section", "\t.section", "\t.sectionflags")):
            inside = f".text.{kernel}" in line or ("sectionflags" in line and inside)
        label = re.match(r"\s*(\.L_\w+):", line)
        if inside and label:
            lines.append((label[1], None))
        found = re.match(r"\s*/\*[0-9a-f]+\*/\s+(@!?U?P\w+ )?\s*([A-Z][\w.]*)\s*(.*?)\s*;", line)
        if inside and found:
            lines.append((None, Instruction(found[2], found[3], (found[1] or "").strip())))
    return _linked(lines)


def _linked(lines: list[tuple[str | None, Instruction | None]]) -> list[Block]:
    """Blocks of lines that are labels or instructions."""
    blocks, at, leader = [Block([], [])], {}, True
    for label, instruction in lines:
        if label is not None or leader:
            if blocks[-1].instructions:
                blocks.append(Block([], []))
            leader = False
        if label is not None:
            at[label] = len(blocks) - 1
        if instruction is not None:
            blocks[-1].instructions.append(instruction)
            leader = instruction.opcode.split(".")[0] in ("BRA", "EXIT", "RET", "BRX", "JMP")
    for number, block in enumerate(blocks):
        last = block.instructions[-1] if block.instructions else Instruction("NOP", "", "")
        word = last.opcode.split(".")[0]
        diverged = ".DIV" in last.opcode  # not taken in a steady loop
        guarded = last.predicate not in ("", "@PT") or bool(re.match(r"!?U?P\d", last.operands))
        conditional = guarded or diverged
        target = re.search(r"`\((\.L_\w+)\)", last.operands)
        if word in ("BRA", "JMP") and target and target[1] in at and not diverged:
            block.next.append(at[target[1]])
        if (word not in ("BRA", "JMP", "EXIT", "RET", "BRX") or conditional) and number + 1 < len(blocks):
            block.next.append(number + 1)
    return blocks


def components(blocks: list[Block], among: set[int]) -> list[set[int]]:
    """Loops: sets of blocks of ``among`` that lead to one another; a block that leads to itself is one too."""

    def reached(start: int) -> set[int]:
        found, turns = set(), [start]
        while turns:
            for after in blocks[turns.pop()].next:
                if after in among and after not in found:
                    found.add(after)
                    turns.append(after)
        return found

    reach = {number: reached(number) for number in among}
    rest, loops = set(among), []
    while rest:
        number = min(rest)
        loop = {other for other in reach[number] if number in reach[other]}
        rest -= loop | {number}
        if loop:
            loops.append(loop)
    return loops


def steady_loop(blocks: list[Block]) -> list[Instruction]:
    """Instructions of one turn of the loop over batches: the longest way through it that enters no loop and no call."""

    def size(loop: set[int]) -> int:
        return sum(len(blocks[number].instructions) for number in loop)

    def loads(loop: set[int]) -> bool:
        words = {instruction.opcode.split(".")[0] for number in loop for instruction in blocks[number].instructions}
        return "MUFU" in words and bool(words & {"LDG", "LDGSTS"})

    reachable, turns = {0}, [0]
    while turns:
        fresh = set(blocks[turns.pop()].next) - reachable
        reachable |= fresh
        turns.extend(fresh)
    loop = max((loop for loop in components(blocks, reachable) if loads(loop)), key=size)
    outside = reachable - loop
    (head,) = {after for number in outside for after in blocks[number].next if after in loop}
    rare = set().union(*components(blocks, loop - {head}))
    rare |= {number for number in loop if any(i.opcode.startswith("CALL") for i in blocks[number].instructions)}

    @functools.cache
    def longest(number: int) -> tuple[int, tuple[int, ...]] | None:
        """Length of the way from a block back to the head, and its blocks; None where there is none."""
        own = len([i for i in blocks[number].instructions if i.opcode != "NOP"])
        ends = [(own, (number,))] if head in blocks[number].next else []
        ways = [longest(after) for after in blocks[number].next if after in loop and after not in rare | {head}]
        ends += [(own + way[0], (number, *way[1])) for way in ways if way is not None]
        return max(ends, default=None)

    way = longest(head)
    assert way is not None
    return [i for number in way[1] for i in blocks[number].instructions if i.opcode != "NOP"]
