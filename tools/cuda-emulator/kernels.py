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
    # Commas within <>, () and [] separate nothing here.
    first, *others = re.split(r",(?![^<\[(]*[>\])])", text)
    head = re.fullmatch(r"\s*(.*?)(\w+)\s*((?:\[.*\])?)\s*", first, re.S)
    if not head or "=" in text:
        sys.exit(f"kernels.py: cannot read the declaration `__shared__ {text}`")
    kind, *variable = head.groups()
    variables = [variable] + [re.fullmatch(r"\s*(\w+)\s*((?:\[.*\])?)\s*", other, re.S).groups() for other in others]
    out = []
    for name, extent in variables:
        # The address of `site` tells the variables of different functions and instances apart.
        site, of = f"{name}__site", f"{name}__type"
        out.append(f"static char {site}; using {of} = {kind}{extent}; {of} &{name} = *({of} *)"
                   f"emu::emu_shared(&{site}, sizeof({of}), {alignment or f'alignof({of})'});")
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
