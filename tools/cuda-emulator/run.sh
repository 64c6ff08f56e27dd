#!/usr/bin/env bash
# Builds the emulator and runs the CUDA tests of this checkout on the CPU:
#
#   run.sh TOOLKIT                               the operators' GPU tests
#   run.sh TOOLKIT ARGUMENTS OF cargo test       others, with the features they need
#   run.sh TOOLKIT --selftest                    the emulator's own tests
#   BUILD_ONLY=1 run.sh TOOLKIT                  only the libraries
#
# TOOLKIT holds bin/nvcc, include/ and import libraries in lib/ that open the CUDA libraries at the
# first call, with an env.sh that points the build there. What the emulator checks, and settings:
# README.md.
set -euo pipefail

toolkit=$(cd "${1:?usage: run.sh TOOLKIT [cargo test arguments]}" && pwd)
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck disable=SC1091
source "$toolkit/env.sh"
cd "$root"
out=${EMULATOR_DIR:-${CARGO_TARGET_DIR:-$root/target}/emulator}
mkdir -p "$out/kernels" "$out/objects"
CXX=${CXX:-g++}

common=(-std=c++17 -O2 -g1 -fPIC -Wall -Wextra "-I$here" "-I$toolkit/include")
# Kernels: every access is reported to the engine, and the other mistakes a compiler can see end in
# an illegal instruction. Their warnings are nvcc's to give.
include=(-std=c++17 -include "$here/emulate.h" "-I$toolkit/include" "-I$toolkit/include/cccl")
kernel=(-std=c++17 -O1 -g1 -fPIC -w -fno-gnu-unique -fno-strict-aliasing
  -fsanitize=kernel-address --param asan-instrumentation-with-call-threshold=0 --param asan-stack=0 --param asan-globals=0
  -fsanitize=alignment,bounds,shift,integer-divide-by-zero,signed-integer-overflow -fsanitize-undefined-trap-on-error)

# Whether the first file is older than any of the others.
stale() {
  local file=$1 source
  shift
  [ -e "$file" ] || return 0
  for source; do [ "$source" -nt "$file" ] && return 0; done
  return 1
}

object() { # name, flags
  local name=$1
  shift
  if stale "$out/objects/$name.o" "$here/$name.cpp" "$here"/*.h; then
    echo "emulator: $name" >&2
    "$CXX" "${common[@]}" "$@" -c "$here/$name.cpp" -o "$out/objects/$name.o"
  fi
}

library() { # soname, objects
  local soname=$1 objects=()
  shift
  for name; do objects+=("$out/objects/$name.o"); done
  local driver=("$out/libcuda.so.1")
  [ "$soname" = libcuda.so.1 ] && driver=(-ldl)
  if stale "$out/$soname" "${objects[@]}"; then
    "$CXX" -shared "-Wl,-soname,$soname" '-Wl,-rpath,$ORIGIN' "${objects[@]}" "${driver[@]}" -o "$out/$soname"
  fi
}

kernels() { # name, source, files it includes
  local name=$1 source=$2
  shift 2
  if stale "$out/kernels/$name.so" "$source" "$@" "$here/emulate.h" "$here/kernels.py"; then
    echo "emulator: kernels of $name" >&2
    python3 "$here/kernels.py" "$source" "$out/objects/$name.cpp" -- "$CXX" "${include[@]}" "-I$(dirname "$source")"
    "$CXX" "${kernel[@]}" -c "$out/objects/$name.cpp" -o "$out/objects/$name.o"
    "$CXX" -shared -Wl,-Bsymbolic '-Wl,-rpath,$ORIGIN/..' "$out/objects/$name.o" "$out/libcuda.so.1" -o "$out/kernels/$name.so"
  fi
}

for part in engine access report memory driver modules; do object "$part"; done
object gemm -O3
object cublas
object cublaslt
object cudnn -O3
object curand
library libcuda.so.1 engine access report memory driver modules
library libcublas.so.13 gemm cublas
library libcublasLt.so.13 gemm cublaslt
library libcudnn.so.9 cudnn
library libcurand.so.10 curand

kernels selftest "$here/selftest.cu"
if [ "${1:-}" = --selftest ]; then
  "$CXX" "${common[@]}" "$here/selftest.cpp" "$out/libcuda.so.1" "-Wl,-rpath,$out" -o "$out/selftest"
  exec "$out/selftest"
fi

candle=$(cargo metadata --format-version 1 --features vdvae-ops/cuda --manifest-path "$root/crates/ops/Cargo.toml" 2>/dev/null |
  python3 -c 'import json, os, sys
print(*(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "candle-kernels"))')
for family in affine binary cast conv fill indexing reduce sort ternary unary; do
  kernels "candle_$family" "$candle/src/$family.cu" "$candle"/src/*.cuh
done
ours=$root/crates/ops/src/cuda/kernels
kernels vdvae "$ours/kernels.cu" "$ours"/*

[ -z "${BUILD_ONLY:-}" ] || exit 0
[ $# -gt 0 ] || set -- -p vdvae-ops --features cuda,cudnn --test gpu
# Steps of training that are compared; 500 on a GPU.
export VDVAE_GPU_STEPS=${VDVAE_GPU_STEPS:-10}
exec env LD_LIBRARY_PATH="$out${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" cargo test "$@"
