# `just --list` says what there is. Each recipe is a line that works without just, too.

verifier := 'cargo run --release --locked -p tests --bin verify --'

# All that must hold before a change goes in.
ci:
    .ci/run

# README's test command.
test:
    cargo test --workspace --locked --no-fail-fast

# Formatting, lints and documentation, as CI has them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

# The library with each feature alone, and with none.
features:
    #!/usr/bin/env bash
    set -eu
    for feature in '' broker cli inventory metrics mimalloc web; do
        cargo clippy -p stream-runtime --locked --no-default-features --features "$feature" -- -D warnings
    done

# Licences, duplicates and sources of dependencies; needs cargo-deny.
deny:
    cargo deny check licenses bans sources

# Unit tests of the libraries, those with a name: `just lib chains`.
lib *name:
    cargo test --workspace --locked --lib {{name}}

# End-to-end tests with a name: `just e2e hops`.
e2e *name:
    cargo test --workspace --locked --test end_to_end {{name}}

# Programs that must not compile, with a name; `BLESS=1 just refused table` keeps what the compiler says now.
refused *name:
    cargo test --workspace --locked --test refused {{name}}

# Golden files: help, plans, metrics, forms of records; `BLESS=1 just golden` keeps them as they are now.
golden:
    cargo test --workspace --locked --test end_to_end golden

# One seed of the task's simulation.
seed seed:
    STREAM_SIMULATION_SEED={{seed}} STREAM_SIMULATION_SEEDS=1 cargo test --workspace --locked --lib simulation

# Known mistakes, which the tests must find; one by its test's name: `just mutants the_mutant_whose_offset`.
mutants name='mutant':
    cargo test -p stream-runtime -p tests --locked --features tests/mutants \
        --lib --test end_to_end {{name}} -- --test-threads 1

# The verifier: `just verify --minutes 10 --seed 1 --apache`.
verify *args:
    {{verifier}} {{args}}

# A benchmark: `just bench stateless --rounds 5`.
bench name *args:
    cargo bench --locked -p tests --bench {{name}} -- {{args}}

# Layers, circles of files, sizes, words: the structure's figures.
structure:
    cargo run --locked -p tests --bin structure

# What takes longer than CI: many seeds, then three nodes with faults of all kinds, at-least-once, rolling restarts.
long:
    STREAM_SIMULATION_SEEDS=200000 cargo test --release --workspace --locked --lib simulation
    STREAM_HISTORIES=2000 cargo test --release --workspace --locked --lib histories
    {{verifier}} --minutes 30 --seed 1
    {{verifier}} --minutes 30 --seed 1 --apache
    {{verifier}} --cluster --minutes 10 --rate 200 --seed 1
    {{verifier}} --cluster --minutes 10 --rate 200 --seed 2
    {{verifier}} --cluster --minutes 10 --rate 200 --seed 3 --guarantee at-least-once
    {{verifier}} --cluster --minutes 12 --rate 200 --seed 4 --faults rolling --workers 2
