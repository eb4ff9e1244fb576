# `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Build products live outside the checkout, so that a fresh clone starts warm.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/springtide
export CARGO_TARGET_DIR ?= $(CACHE)/target

PORT ?= 8000
MODEL ?= examples/models/iris.onnx
FUZZ_SECONDS ?= 5
MODELS ?= 500

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-25s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Build products of another checkout must not be used for this one.
.PHONY: claim-target
claim-target:
	@scripts/claim-target

##
.PHONY: demo demo-down serve
demo: claim-target ## Create a kind cluster, install everything, serve two models and send requests (first offline run: 30 to 45 minutes on 2 cores)
	@scripts/demo

demo-down: ## Delete the cluster of the demo; build products stay in the cache
	@tests/cluster/down

serve: claim-target ## Run the server alone, without a cluster (PORT=8000 MODEL=examples/models/iris.onnx)
	@scripts/serve "$(MODEL)" "$(PORT)"

##
.PHONY: test test-extended test-fast
test: test-fast rows-check clients-check soak-hostile-quick control-plane-test demo serve-check docs-check e2e ## Run all checks except the extended ones, including the demo and the e2e suite on a real kind cluster

test-extended: claim-target ## Run the longest checks: fuzzing, mutants, mixed batches, hostile clients, load examples, the page in a browser
	scripts/test-extended

test-fast: format-check lint unit bench-check generated chart-check deny ## Run all checks that need no cluster

.PHONY: format-check lint unit bench-check clients-check rows-check fuzz generated chart-check deny serve-check docs-check locust-check page-check control-plane-test e2e
format-check: ## Check the formatting of the Rust code
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

lint: claim-target ## Run clippy with warnings as errors, shellcheck, vale (prose) and actionlint (workflows); find circles and base images without digests
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	cargo xtask circles
	scripts/shellcheck
	scripts/prose
	scripts/actionlint
	scripts/base-images --check

unit: claim-target ## Run unit, property, golden and fake-API-server tests
	ORT_DYLIB_PATH="$$(scripts/onnxruntime)" PROMTOOL="$$(scripts/promtool)" cargo test --workspace --exclude springtide-e2e --locked

bench-check: ## Test the evaluation of the benchmarks, and check that their pages are up to date
	python3 -m unittest discover --start-directory bench/tests --top-level-directory bench
	[ ! -f docs/performance.json ] || bench/report docs/performance.json | diff docs/performance.md -
	bench/report-autoscaling --check

clients-check: claim-target ## Run unmodified clients (tritonclient) and real models against the release build
	scripts/clients-check

rows-check: claim-target ## Test the proof of independent rows with models of known dependence, and with their mutants
	scripts/rows-check

fuzz: claim-target ## Fuzz every parser of untrusted input (FUZZ_SECONDS=5 for each)
	scripts/fuzz "$(FUZZ_SECONDS)"

generated: claim-target ## Check that generated files are up to date
	cargo xtask check

chart-check: ## Lint the Helm chart and validate its objects
	scripts/chart-check

deny: ## Check the dependencies' licences, bans and sources
	scripts/deny

serve-check: ## Test `make serve`, and the request that it prints
	scripts/serve-check

docs-check: claim-target ## Run the examples of docs/serving.md, and compare its tables with the server
	scripts/docs-check

locust-check: claim-target ## Run the commands of examples/locust against the release build
	scripts/locust-check

page-check: claim-target ## Check the server's page in a headless Chromium, and take screenshots
	scripts/page-check

control-plane-test: claim-target ## Run the tests that need an API server but no pods, on a control plane without nodes
	scripts/control-plane-test

e2e: claim-target cluster ## Run the end-to-end suite on the kind cluster, which is created if necessary
	scripts/e2e

.PHONY: soak-hostile soak-hostile-quick
soak-hostile: claim-target ## Attack the release build with 10⁶ hostile bodies and 10⁵ connections, beside well-behaved clients (8 minutes on an idle machine)
	scripts/soak-hostile

soak-hostile-quick: claim-target ## The same with a tenth of both (two minutes)
	scripts/soak-hostile --quick

##
.PHONY: bench bench-quick bench-report
bench: claim-target ## Measure the server against its peers (25 minutes on an idle machine, after the installation)
	bench/run

bench-quick: claim-target ## Test every part of the benchmark; its figures are not meaningful
	bench/run --quick

bench-report: ## Write docs/performance.md from the last run of the benchmark
	cp "$(CACHE)/bench/results.json" docs/performance.json
	bench/report docs/performance.json >docs/performance.md

.PHONY: bench-operator
bench-operator: claim-target ## Measure the operator with MODELS=500 new ModelServices, relative to a bare client
	cargo build --locked --package springtide-e2e --example many_models
	OPERATOR=none PROFILE=release tests/control-plane/run "$(CARGO_TARGET_DIR)/debug/examples/many_models" "$(MODELS)"

.PHONY: bench-autoscaling bench-autoscaling-quick bench-autoscaling-report
bench-autoscaling: claim-target cluster ## Measure the autoscaling on the kind cluster (75 minutes on an idle machine)
	bench/run-autoscaling

bench-autoscaling-quick: claim-target cluster ## Test every part of it (15 minutes)
	bench/run-autoscaling --quick

bench-autoscaling-report: ## Write the figures and plots of docs/autoscaling.md from the last run
	cp "$(CACHE)/bench/autoscaling/results.json" docs/autoscaling/results.json
	bench/report-autoscaling

##
.PHONY: cluster cluster-down generate format
cluster: claim-target ## Create the kind cluster and install the operator from this checkout
	tests/cluster/up
	tests/cluster/install

cluster-down: demo-down ## Delete the kind cluster

generate: claim-target ## Write the generated files: CRDs, the chart's copy, the API reference
	cargo xtask generate

format: ## Format the Rust code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
