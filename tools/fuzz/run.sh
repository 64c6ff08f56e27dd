#!/usr/bin/env bash
# Gives every reader (or those named) a minute of libFuzzer: run.sh [SECONDS] [READER…]
# Needs a nightly toolchain and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
readers=("$@")
if [ ${#readers[@]} = 0 ]; then
    mapfile -t readers < <(cargo run --quiet --example corpus)
fi

# Files are written for every execution: in memory where the system has such a folder.
if [ -d /dev/shm ]; then export TMPDIR=/dev/shm; fi
for reader in "${readers[@]}"; do
    corpus=libfuzzer/corpus/$reader
    cargo run --quiet --example corpus -- "$reader" "$corpus"
    # A malloc beyond 1 GiB, or ten seconds for one file, is a finding.
    cargo +nightly fuzz run --fuzz-dir libfuzzer --sanitizer none "$reader" "$corpus" -- \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -malloc_limit_mb=1024 \
        -timeout=10 -print_final_stats=1
done
