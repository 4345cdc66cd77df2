#!/usr/bin/env bash
# Builds with the CUDA backend where the LLVM that cubecl downloads is out of reach:
#
#     benches/cuda_offline.sh build --release --features cuda --bins
#
# cubecl can compile kernels by LLVM or by NVRTC; this project chooses NVRTC (the feature `cuda-cpp`), so nothing of LLVM
# is ever called. DOCS_RS=1 keeps cubecl's build script from downloading it, and the functions that are then missing are
# linked as stubs that abort: this script is the linker too, and adds a stub for what the first attempt lacks.
set -euo pipefail

if [ -z "${CUDA_OFFLINE_LINKER:-}" ]; then
  self=$(realpath "$0")
  export CUDA_OFFLINE_LINKER=1 DOCS_RS=1
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=$self
  exec cargo "$@"
fi

log=$(mktemp)
trap 'rm -rf "$log" "${stubs:-}"' EXIT
if cc "$@" 2>"$log"; then
  cat "$log" >&2
  exit 0
fi
names=$(grep -oE "undefined (reference to|symbol:) [\`']?[A-Za-z_0-9]+" "$log" | grep -oE '[A-Za-z_0-9]+$' | sort -u)
if [ -z "$names" ]; then
  cat "$log" >&2
  exit 1
fi
foreign=$(grep -vE '^(LLVM|cubecl_llvm|lld|pliron)' <<<"$names" || true)
if [ -n "$foreign" ]; then
  printf 'missing, and not of LLVM: %s\n' $foreign >&2
  cat "$log" >&2
  exit 1
fi
stubs=$(mktemp -d)
{
  echo '#include <stdlib.h>'
  for name in $names; do echo "void $name(void) { abort(); }"; done
} >"$stubs/stubs.c"
cc -c "$stubs/stubs.c" -o "$stubs/stubs.o"
echo "$(wc -l <<<"$names") functions of LLVM linked as stubs" >&2
cc "$@" "$stubs/stubs.o"
