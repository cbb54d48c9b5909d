# SPDX-License-Identifier: Apache-2.0
# What a newcomer and CI call; each target does only what is not done yet.

PYTHON := .venv/bin/python
# OpenStack's libraries warn of what their own dependencies deprecate.
LAB := $(PYTHON) -W ignore -m tests.cloud.lab
DEMO := $(PYTHON) -W ignore -m tests.cloud.demo
PYTEST := $(PYTHON) -m pytest
# A busy machine needs minutes to bring the cloud up before the first test.
CLOUD_TESTS := $(PYTEST) --timeout=900 tests/cloud
AGENT := tests/functional/agent
# The tests of a file share the services that they need.
AGENT_TESTS := $(PYTEST) --numprocesses=2 --dist=loadfile $(AGENT)
# They mostly wait, for a broker or for a lease to expire.
FUNCTIONAL_TESTS := $(PYTEST) --numprocesses=4 --ignore=$(AGENT) tests/functional
DEVSTACK_FILES := devstack/plugin.sh devstack/settings devstack/lib/membuddies
SHELL_FILES := $(sort $(shell git ls-files '*.sh') .ci/run $(DEVSTACK_FILES))
BENCHMARKS := $(shell grep -l '__main__' tests/benchmarks/*.py | sed 's/\.py$$//; s|/|.|g')

.PHONY: packages guest-packages guest guest-deb venv lock demo demo-down cloud-up
.PHONY: cloud-down distclean lint test test-with-ksm test-without-ksm test-unit
.PHONY: test-functional test-kmod test-cloud test-devstack test-oldest bench docs

# From an empty machine to a cloud with our services on it, told as a story.
demo:
	@tools/check-demo.sh
	@$(MAKE) --silent venv
	@$(DEMO) up

# Ends it; packages, the virtual environment and build/demo/report.json stay.
demo-down:
	@tools/install-packages.sh restore
	@if [ -x $(PYTHON) ]; then $(DEMO) down; fi

packages:
	tools/install-packages.sh

venv: packages
	tools/make-venv.sh

# Debian's kernels of both series that the guests' module is built for and tested in.
guest-packages: packages
	tools/install-packages.sh guest

# The guests' module for each kernel whose headers are installed, and the tracer.
guest:
	$(MAKE) -C guest_kmod

# The Debian package that brings both into an image; prints where it lies.
guest-deb: guest
	@tools/build-guest-deb.sh

# Everything that the project promises, each part in processes of its own: beside
# each other what needs the machine's one KSM, one part after the other, and what does
# not. A part's output appears when it ends. A skipped test fails the run.
test: lint
	$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-with-ksm test-without-ksm

test-with-ksm: venv
	$(AGENT_TESTS)
	$(CLOUD_TESTS)

# DevStack's plugin is tested where DEVSTACK_DIR names a DevStack tree.
test-without-ksm: venv guest-packages
	$(PYTEST) tests/unit
	$(FUNCTIONAL_TESTS)
	$(PYTEST) tests/kmod
	$(if $(DEVSTACK_DIR),$(PYTEST) tests/devstack)

test-unit: venv
	$(PYTEST) tests/unit

# Starts its own RabbitMQ and MariaDB on loopback.
test-functional: venv
	$(FUNCTIONAL_TESTS)
	$(AGENT_TESTS)

# The guests' module and tracer, in guests with Debian's kernels.
test-kmod: venv guest-packages
	$(PYTEST) tests/kmod

test-cloud: venv
	$(CLOUD_TESTS)

# Fails without DEVSTACK_DIR.
test-devstack: venv
	$(PYTEST) tests/devstack

lint: venv guest-packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	gcc -O3 -Wall -Wextra -Werror -Iguest_kmod -I$$($(PYTHON) -c \
	    'import sysconfig; print(sysconfig.get_path("include"))') \
	    -c agent/membuddies_agent/_scan.c -o /dev/null
	$(MAKE) -C guest_kmod lint
	shellcheck --external-sources $(SHELL_FILES)
	.venv/bin/bashate --error E006 --max-line-length 88 $(DEVSTACK_FILES)
	.venv/bin/reno -q lint

# One script a figure; each prints what was asked and what it measured, and its
# result lies in build/benchmarks.
bench: venv
	status=0; for script in $(BENCHMARKS); do \
	    $(PYTHON) -W ignore -m $$script || status=1; done; exit $$status

docs: venv
	.venv/bin/sphinx-build -q -W -b html doc/source build/doc

# Resolves requirements/lock.in and oldest.in anew; the result is reviewed and committed.
lock: venv
	.venv/bin/uv pip compile --quiet --python-version 3.11 --output-file requirements/lock.txt requirements/lock.in
	.venv/bin/uv pip compile --quiet --python-version 3.11 --output-file requirements/oldest.txt requirements/oldest.in

# A real OpenStack with three compute hosts on this machine.
cloud-up: venv
	$(LAB) up

cloud-down:
	if [ -x $(PYTHON) ]; then $(LAB) down; fi

distclean: demo-down cloud-down
	rm -rf .venv build
