# Everything a developer types. Both `make demo` and `make test` do their own set-up
# on a fresh Debian machine with a Rust toolchain.

SHELL := /bin/bash
# Outside the checkout, so that a fresh clone finds its dependencies built.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cluster-build/target
HOST := $(shell rustc --print host-tuple 2>/dev/null)
BIN := $(CARGO_TARGET_DIR)/$(HOST)/debug

.PHONY: help demo demo-down test check bench conformance dist sweep fuzz setup

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo       raise a cluster of real machines here, on LocalStack (root; ~2 GB of disk)
demo:
	@scripts/demo up

## make demo-down  take the demo away again, machines and all
demo-down:
	@scripts/demo down

## make test       everything CI runs: crates, command line, and a fleet of real machines
test:
	@scripts/test

## make check      fmt, clippy and the crates' tests: two minutes warm
check: setup
	@scripts/check

## make bench      time `up` on machines, and what else BENCHMARKS.md shows
bench: setup
	@scripts/bench-store
	@scripts/bench

## make conformance  upstream's suite on a cluster: E2E_TEST=path KUBECONFIG=file (tests/conformance/README.md)
conformance:
	@tests/conformance/run.py --e2e-test "$(E2E_TEST)" --kubeconfig "$(KUBECONFIG)"

## make sweep      kill `up` and `down` at every journal write, a fresh cluster each (long)
sweep: setup
	@scripts/sweep

## make fuzz       hostile input for an hour for each door that takes any (FUZZ_SECONDS)
fuzz: setup
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} cargo test --release -p api fuzz:: -- --nocapture

## make dist       the optimised static binary, in dist/
dist: setup
	@scripts/dist

setup:
	@scripts/setup
