"""NVRTC is opened from the folders of both wheels, which look for a library of their own by its name alone."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import nvrtc
import pytest

BUILTINS = 'extern "C" int builtins() { return 13; }'
COMPILER = """
#include <dlfcn.h>
extern "C" int finds_its_builtins() { return dlopen("NAME", RTLD_LAZY) != nullptr; }
"""


def shared(text: str, path) -> None:
    command = ["g++", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", str(path), "-x", "c++", "-"]
    subprocess.run(command, input=text, text=True, check=True)


@pytest.mark.parametrize(("version", "name"), [("12", "12.9"), ("13", "13.0")])
def test_the_builtins_are_there_when_nvrtc_looks_for_them(tmp_path, version, name):
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    builtins = f"libnvrtc-builtins.so.{name}-of-this-test"  # no other test has loaded it
    shared(COMPILER.replace("NAME", builtins), tmp_path / f"libnvrtc.so.{version}")
    shared(BUILTINS, tmp_path / builtins)
    assert ctypes.CDLL(str(tmp_path / f"libnvrtc.so.{version}")).finds_its_builtins() == 0
    assert nvrtc.load(tmp_path).finds_its_builtins() == 1


def test_a_folder_without_nvrtc(tmp_path):
    assert nvrtc.load(tmp_path) is None
