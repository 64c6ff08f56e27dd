#!/usr/bin/env python3
"""kernels.py SOURCE.cu OUT.cpp -- COMPILER...: a CUDA source as host C++ with a table of kernels.

Runs the preprocessor (COMPILER... with its flags), then
- removes `__global__`, remembering the kernels declared `extern "C" __global__ void NAME(`;
- turns `__shared__ T x[N];` into a reference to the running block's shared memory;
- appends the table that the driver looks up: name, arguments, function.

Line markers are kept, so that messages and debuggers point into the original file.
"""
import re
import subprocess
import sys

ALIGN = r"(?:__attribute__\s*\(\(aligned\s*\((\d+)\)\)\)\s*)?"
# extern __shared__ [align] T x[];
DYNAMIC = re.compile(r"extern\s+" + ALIGN + r"__shared__\s+" + ALIGN + r"([^;\[\]]+?)\s*(\w+)\s*\[\s*\]\s*;")
# __shared__ [align] T a[N][M], b;
STATIC = re.compile(r"(?:static\s+)?__shared__\s+" + ALIGN + r"([^;]+);")
KERNEL = re.compile(r'extern\s+"C"\s+(?:\w+\s+)*?__global__\s+void\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?(\w+)\s*\(')


def dynamic(match):
    kind, name = match.group(3), match.group(4)
    return f"{kind} *{name} = ({kind} *)emu::emu_shared(nullptr, 0, alignof({kind}));"


def static(match):
    alignment, text = match.groups()
    declarators = re.split(r",(?![^<\[(]*[>\])])", text)
    first = re.fullmatch(r"(.*?)(\w+)\s*((?:\[.*\])?)", declarators[0].strip(), re.S)
    if not first or "=" in text:
        sys.exit(f"kernels.py: cannot read the declaration `__shared__ {text}`")
    kind = first.group(1).strip()
    out = []
    for i, declarator in enumerate(declarators):
        name, extent = (first.group(2), first.group(3)) if i == 0 else re.fullmatch(
            r"\s*(\w+)\s*((?:\[.*\])?)\s*", declarator, re.S).groups()
        out.append(
            f"static char {name}__site; using {name}__type = {kind} {extent};"
            f" {name}__type &{name} = *({name}__type *)emu::emu_shared(&{name}__site, sizeof({name}__type),"
            f" {alignment or f'alignof({name}__type)'});")
    return " ".join(out)


def main():
    source, out, dashes, *compiler = sys.argv[1:]
    assert dashes == "--"
    text = subprocess.run([*compiler, "-E", "-x", "c++", source], check=True, stdout=subprocess.PIPE, text=True).stdout
    names = KERNEL.findall(text)
    if len(set(names)) != len(names):
        sys.exit(f"kernels.py: {source} defines a kernel twice")
    text = STATIC.sub(static, DYNAMIC.sub(dynamic, text)).replace("__global__", "")
    # A macro of that name would break the C++ library's __attribute__((__noinline__)).
    text = re.sub(r"(?<!\()\b__noinline__\b", "__attribute__((noinline))", text)
    with open(out, "w") as file:
        file.write(text)
        file.write('\n# 1 "table of kernels"\nextern "C" std::vector<emu::Kernel> emu_kernels() { return {\n')
        file.writelines(f'emu::Entry<&{name}>::kernel("{name}"),\n' for name in names)
        file.write("}; }\n")


main()
