# Everything that is run on this tree. `make help` lists it; `make test` is what a change must pass.
#
# Needed: a stable Rust toolchain with rustfmt and clippy, a C compiler, make, bash.
# Used when they are there: cargo-nextest (runs the tests), cargo-deny (licences and sources).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What Cargo.lock says, and nothing newer.
LOCKED := --locked
# How many seeds `make sim` runs, and from which on.
SEEDS ?= 1000
FROM ?= 1
# For how long `make model` walks, and from which seed on.
MINUTES ?= 60
SEED ?= 1

# The checks that only read, cheapest first.
CHECKS := format lint purity docs deny api
# All of `make test`, in the order it runs.
STEPS := $(CHECKS) unit counted sim demo e2e-short

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' \
		| expand -t 12

.PHONY: test
test: ## all that a change must pass: checks, tests, instructions, simulation, demo, short end-to-end run
	@scripts/steps.sh $(STEPS)

.PHONY: verify
verify: ## the checks that only read: format, lints, layers, docs, licences, public interface
	@scripts/steps.sh $(CHECKS) tidy

.PHONY: fix
fix: ## write what can be mended by machine: Cargo.lock, clippy's suggestions, format, docs/api
	cargo update --workspace
	cargo clippy $(LOCKED) --workspace --all-targets --test simulation --fix --allow-dirty --allow-staged
	cargo fmt --all
	cargo fmt --manifest-path tools/api/Cargo.toml
	TREFOIL_API=write $(MAKE) api

.PHONY: format
format: ## fail where rustfmt would change something
	cargo fmt --all --check
	cargo fmt --manifest-path tools/api/Cargo.toml --check

.PHONY: lint
lint: ## clippy on every target, warnings are errors
	cargo clippy $(LOCKED) --workspace --all-targets --test simulation -- -D warnings

.PHONY: tidy
tidy: ## layers between crates and modules, file length, columns, module docs, words
	cargo test $(LOCKED) -p trefoil-core --test tidy

.PHONY: api
api: ## fail if the public interface is not what docs/api says (`make fix` writes it)
	cargo test $(LOCKED) --quiet --manifest-path tools/api/Cargo.toml --target-dir target/api

.PHONY: purity
purity: ## fail if the pure core reaches a crate that does I/O, clocks or randomness
	scripts/purity.sh

.PHONY: docs
docs: ## build the documentation, broken links are errors
	RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --workspace --no-deps --quiet

.PHONY: deny
deny: ## licences, banned crates and sources, if cargo-deny is installed
	scripts/deny.sh

.PHONY: audit
audit: ## known vulnerabilities, if cargo-deny is installed (fetches the advisory database)
	scripts/deny.sh advisories

.PHONY: unit
unit: ## unit, property and conformance tests of the whole workspace
	scripts/unit.sh

.PHONY: sim
sim: ## whole sites under simulated faults: SEEDS=1000 seeds from FROM=1 on, every rule checked
	TREFOIL_SEEDS=$(SEEDS) TREFOIL_FIRST_SEED=$(FROM) cargo test $(LOCKED) --workspace \
		--test simulation -- --nocapture

.PHONY: model
model: ## a small world over the core's engines: wider searches, MINUTES=60 of walks from SEED=1
	TREFOIL_MINUTES=$(MINUTES) TREFOIL_SEED=$(SEED) cargo test $(LOCKED) --workspace \
		--test model -- --nocapture --test-threads 1

.PHONY: demo
demo: ## the failover story, asserted: every transport and every backend at least once
	scripts/demo.sh

.PHONY: matrix
matrix: ## demo and end-to-end failover over every transport and every backend (ten minutes)
	scripts/demo.sh --all
	scripts/e2e.sh --only words-

.PHONY: e2e
e2e: ## real processes, killed and taken over, with real NBD clients
	scripts/e2e.sh

.PHONY: e2e-short
e2e-short: ## the part of `make e2e` that takes a minute or two
	scripts/e2e.sh --short

.PHONY: miri
miri: ## the pure core's unit tests under Miri, if the nightly toolchain has it
	@scripts/miri.sh

.PHONY: bench
bench: ## the benchmarks; they print ratios measured in one run
	cargo bench $(LOCKED) -p trefoil-benches

# Of `make bench-peers`: rounds, seconds of each job in a round, words that choose jobs and peers.
ROUNDS ?= 3
SECONDS ?= 3
JOBS ?=
PEERS ?=

.PHONY: bench-peers
bench-peers: ## the same fio jobs on our two sites and on peers from Debian: ROUNDS, SECONDS, JOBS, PEERS
	@ROUNDS=$(ROUNDS) SECONDS_EACH=$(SECONDS) JOBS="$(JOBS)" PEERS="$(PEERS)" scripts/bench-peers.sh

.PHONY: bench-goals
bench-goals: ## third site, lag, resync, takeover, restart, scale, memory: GOALS, FULL=1
	@scripts/bench-goals.sh

.PHONY: counted
counted: ## instructions of the functions that every write passes, against recorded limits
	@scripts/counted.sh
