# SPDX-License-Identifier: Apache-2.0
# What a newcomer and CI call; each target does only what is not done yet.

PYTHON := .venv/bin/python
# OpenStack's libraries warn of what their own dependencies deprecate.
LAB := $(PYTHON) -W ignore -m tests.cloud.lab

.PHONY: packages venv lock cloud-up cloud-down distclean

packages:
	tools/install-packages.sh

venv: packages
	tools/make-venv.sh

# Resolves requirements/lock.in anew; the result is reviewed and committed.
lock: venv
	.venv/bin/uv pip compile --quiet --python-version 3.11 --output-file requirements/lock.txt requirements/lock.in

# A real OpenStack with three compute hosts on this machine.
cloud-up: venv
	$(LAB) up

cloud-down:
	if [ -x $(PYTHON) ]; then $(LAB) down; fi

distclean: cloud-down
	rm -rf .venv build
