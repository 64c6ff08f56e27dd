#!/usr/bin/env bash
# Assembles a CUDA 13.0 toolkit that is enough to BUILD candle (features cuda, cudnn, nccl) on an
# x86-64 Linux machine without a GPU, a driver or an installed toolkit:
#
#   scripts/setup-cuda.sh DIR     then:  source DIR/env.sh
#                                        cargo build --release --features cuda,cudnn
#
# nvcc, its back ends and the headers come from PyPI (about 105 MB to download, 210 MB in DIR). The
# libraries candle links against (cuda, cublas, cublasLt, curand, nvrtc, cudnn, nccl) are not
# downloaded; DIR/lib gets small import libraries for them instead, made from the function names in
# the cudarc crate:
#
#   LINK=lazy   (default) static archives whose functions dlopen the real library at their first
#               call. The program needs no CUDA library to start; without a driver
#               Device::new_cuda(0) answers an error, so the program can fall back to the CPU.
#   LINK=shared empty shared libraries with the real sonames. Ordinary dynamic linking: the program
#               starts only where every one of the libraries is found.
#
# Where the program runs, the loader must find libcuda.so.1 (driver), libcublas.so.13,
# libcublasLt.so.13, libcurand.so.10, libnvrtc.so.13, and with the features libcudnn.so.9 and
# libnccl.so.2 (LD_LIBRARY_PATH; DIR/env.sh is not needed there).
#
# Needs: bash, python3 with pip, gcc, binutils, cargo. Settings: LINK, PYTHON (python3), and
# CUDA_COMPUTE_CAP, the compute capability of the GPU without its dot: 80 for A100, 89 for RTX 40,
# 90 for H100 and H200 (the default).
set -euo pipefail

DIR=${1:?usage: setup-cuda.sh DIR}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LINK=${LINK:-lazy}
PYTHON=${PYTHON:-python3}
CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
# The version that this project builds with: its functions are those the libraries must have.
CUDARC=${CUDARC:-$(sed -n '/^name = "cudarc"$/{n;s/^version = "\(.*\)"$/\1/p}' "$ROOT/Cargo.lock")}
[ -n "$CUDARC" ] || { echo "$ROOT/Cargo.lock: expected a package cudarc, found none" >&2; exit 1; }

# The set that cuda-toolkit==13.0.2 names, so the same as torch 2.11.0 (cu130) runs with.
PACKAGES=(
  nvidia-cuda-nvcc==13.0.88    # nvcc, cudafe++, ptxas, fatbinary, nvlink
  nvidia-nvvm==13.0.88         # cicc, libdevice
  nvidia-cuda-crt==13.0.88     # crt/ headers
  nvidia-cuda-runtime==13.0.96 # cuda.h, cuda_runtime.h, cuda_bf16.h, libcudart_static.a, libcudadevrt.a
  nvidia-cuda-cccl==13.0.85    # nv/target, cub, thrust
)

[ "$(uname -m)" = x86_64 ] || { echo "expected x86-64, found $(uname -m)" >&2; exit 1; }
case $LINK in
  lazy | shared) ;;
  *) echo "LINK: expected lazy or shared, found $LINK" >&2; exit 1 ;;
esac
for tool in "$PYTHON" gcc ar ld cargo; do
  command -v "$tool" >/dev/null || { echo "$tool: not found" >&2; exit 1; }
done
mkdir -p "$DIR"
DIR=$(cd "$DIR" && pwd)
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT

if [ ! -x "$DIR/bin/nvcc" ]; then
  PIP_ROOT_USER_ACTION=ignore "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --target "$TMP/site" "${PACKAGES[@]}"
  cp -a "$TMP/site/nvidia/cu13/." "$DIR/"
fi
chmod +x "$DIR"/bin/* "$DIR"/nvvm/bin/* 2>/dev/null || true
ln -sfn lib "$DIR/lib64"

rm -rf "$DIR"/lib/libnvvm.so* "$DIR/.metadata" # cicc does not use it

# cudart: always the static one (-lcudart finds libcudart.a, there being no libcudart.so).
rm -f "$DIR"/lib/libcudart.so*
ln -sfn libcudart_static.a "$DIR/lib/libcudart.a"

# The function names, from the cudarc crate's bindings.
if [ -z "${CUDARC_SRC:-}" ]; then
  mkdir -p "$TMP/names/src" && : >"$TMP/names/src/lib.rs"
  printf '[package]\nname="names"\nversion="0.0.0"\nedition="2021"\n[workspace]\n[dependencies]\ncudarc={version="=%s",default-features=false}\n' \
    "$CUDARC" >"$TMP/names/Cargo.toml"
  (cd "$TMP/names" && cargo fetch --quiet)
  CUDARC_SRC=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/cudarc-"$CUDARC" | head -n 1)
fi

cat >"$TMP/import_lib.py" <<'PY'
"""import_lib.py KIND NAME SONAME FAIL OUT.{c,S} < names: the source of one import library."""
import sys
kind, name, soname, fail, out = sys.argv[1:]
syms = sorted(set(sys.stdin.read().split()))
if kind == "shared":
    with open(out + ".c", "w") as f:
        f.writelines(f"int {s}(void) {{ return {fail}; }}\n" for s in syms)
    sys.exit()

# lazy: NAME jumps through a table; each entry starts at code that resolves it, then jumps on with
# all argument registers as they were (the stack is untouched, so any signature will do).
with open(out + ".S", "w") as f:
    f.write(".text\n")
    for i, s in enumerate(syms):
        f.write(f".globl {s}\n.type {s},@function\n{s}:\n jmp *lz_{name}_tab+{8 * i}(%rip)\n"
                f".Lslow{i}:\n pushq ${i}\n jmp .Lcommon\n.size {s},.-{s}\n")
    regs = ["rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9"]
    f.write(".Lcommon:\n" + "".join(f" pushq %{r}\n" for r in regs) + " subq $136,%rsp\n")
    f.writelines(f" movups %xmm{x},{16 * x}(%rsp)\n" for x in range(8))
    f.write(f" movq 192(%rsp),%rdi\n call lz_{name}_resolve\n movq %rax,%r11\n")
    f.writelines(f" movups {16 * x}(%rsp),%xmm{x}\n" for x in range(8))
    f.write(" addq $136,%rsp\n" + "".join(f" popq %{r}\n" for r in reversed(regs)))
    f.write(" addq $8,%rsp\n jmp *%r11\n")
    f.write(f'.section .data.rel.local,"aw"\n.balign 8\n.globl lz_{name}_tab\n.hidden lz_{name}_tab\nlz_{name}_tab:\n')
    f.writelines(f" .quad .Lslow{i}\n" for i in range(len(syms)))
    f.write('.section .note.GNU-stack,"",@progbits\n')
with open(out + ".c", "w") as f:
    f.write("#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <string.h>\n")
    f.write(f'extern void *lz_{name}_tab[] __attribute__((visibility("hidden")));\n')
    f.write("static const char *const names[] = {" + ",".join(f'"{s}"' for s in syms) + "};\n")
    f.write(f"""static void *lib;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long failed(void) {{ return {fail}; }} /* a status of this library's own enum: not available */
static const char *failed_text(void) {{ return "{soname} is not available"; }}
static void open_lib(void) {{
  lib = dlopen("{soname}", RTLD_NOW | RTLD_LOCAL);
  if (!lib && {int(name != "cuda")}) fprintf(stderr, "cuda: %s\\n", dlerror());
}}
__attribute__((visibility("hidden"))) void *lz_{name}_resolve(long i) {{
  const char *n = names[i];
  size_t l = strlen(n);
  pthread_once(&once, open_lib);
  void *p = lib ? dlsym(lib, n) : 0;
  if (lib && !p) fprintf(stderr, "cuda: {soname} has no %s\\n", n);
  if (!p) {{ /* functions that return text rather than a status */
    int text = (l > 14 && !strcmp(n + l - 14, "GetErrorString") && strcmp(n, "cuGetErrorString")) ||
               (l > 15 && !strcmp(n + l - 15, "GetStatusString")) || (l > 13 && !strcmp(n + l - 13, "GetStatusName")) ||
               (l > 12 && !strcmp(n + l - 12, "GetLastError"));
    p = text ? (void *)failed_text : (void *)failed;
  }}
  lz_{name}_tab[i] = p;
  return p;
}}
""")
PY

# crate module | library | soname | status to answer when it is absent (a member of the library's enum)
while read -r mod name soname fail; do
  rm -f "$DIR/lib/lib$name.a" "$DIR/lib/lib$name.so"
  grep -oP 'load::<_F>\("\K[^"]+' "$CUDARC_SRC/src/$mod/sys/mod.rs" |
    "$PYTHON" "$TMP/import_lib.py" "$LINK" "$name" "$soname" "$fail" "$TMP/$name"
  if [ "$LINK" = lazy ]; then
    gcc -O2 -fPIC -c "$TMP/$name.S" -o "$TMP/$name-s.o"
    gcc -O2 -fPIC -c "$TMP/$name.c" -o "$TMP/$name-c.o"
    # One object, so that whichever part the linker pulls, it gets both.
    ld -r "$TMP/$name-s.o" "$TMP/$name-c.o" -o "$TMP/lz_$name.o"
    ar rcs "$DIR/lib/lib$name.a" "$TMP/lz_$name.o"
  else
    gcc -shared -fPIC -w -fno-builtin -Wl,-soname,"$soname" "$TMP/$name.c" -o "$DIR/lib/lib$name.so"
  fi
done <<'LIBS'
driver   cuda     libcuda.so.1      100
nvrtc    nvrtc    libnvrtc.so.13    11
curand   curand   libcurand.so.10   203
cublas   cublas   libcublas.so.13   1
cublaslt cublasLt libcublasLt.so.13 1
cudnn    cudnn    libcudnn.so.9     1001
nccl     nccl     libnccl.so.2      2
LIBS

cat >"$DIR/env.sh" <<ENV
# source this, then cargo build --features cuda (cudnn, nccl)
export CUDA_HOME="$DIR"
unset CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR CUDNN_LIB
export PATH="$DIR/bin:\$PATH"                       # cudarc's and candle-kernels' build scripts run nvcc
export NVCC="$DIR/bin/nvcc"
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-$CUDA_COMPUTE_CAP}" # no nvidia-smi to ask here; 90 = H100, H200
export CUDAFORGE_THREADS="\${CUDAFORGE_THREADS:-2}" # nvcc processes at a time
export NVCC_APPEND_FLAGS="\${NVCC_APPEND_FLAGS:---compress-mode=size}" # candle-kernels' quantized kernels: a quarter of the bytes
ENV

# Check: nvcc compiles a kernel to machine code for the target and links a program here.
cat >"$TMP/t.cu" <<'CU'
#include <cuda_bf16.h>
#include <cstdio>
__global__ void k(__nv_bfloat16 *x) { x[threadIdx.x] = __float2bfloat16(__bfloat162float(x[threadIdx.x]) + 1.f); }
int main() { k<<<1, 32>>>(nullptr); printf("%d\n", (int)cudaGetLastError()); }
CU
# shellcheck disable=SC1091
. "$DIR/env.sh"
nvcc --version | grep release
nvcc -arch="sm_$CUDA_COMPUTE_CAP" -O3 "$TMP/t.cu" -o "$TMP/t"
"$TMP/t" >/dev/null
echo "CUDA toolkit in $DIR ($LINK linking); next: source $DIR/env.sh"
