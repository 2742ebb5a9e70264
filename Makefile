# pouch: make demo shows what it does, make test proves it. Both set up what they need (as root, on Debian or Ubuntu).
PREFIX ?= /opt/pouch
BIN ?= /usr/local/bin
export PREFIX BIN

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-quick docs install uninstall clean setup

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: install ## install pouch, boot a rich container from a real Debian image and show its inside
	@scripts/demo

test: setup ## set up and run all tests
	@scripts/test

lint: setup ## linters, types and import contracts only
	@.venv/bin/pytest tests/house

bench: setup ## compare with podman and bare crun; writes bench/results
	@scripts/bench

bench-quick: setup ## the same with few rounds
	@scripts/bench --quick

docs: setup ## write the command reference anew
	@.venv/bin/python scripts/make-docs

setup: ## system packages, .venv, the launcher
	@scripts/setup --tests
	@scripts/setup-dev

install: ## install pouch and pouchd (PREFIX=/opt/pouch, BIN=/usr/local/bin)
	@scripts/setup
	@scripts/install

uninstall: ## remove what install has written; images and containers stay
	@scripts/uninstall

clean: ## remove what was built here
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache src/*.egg-info
