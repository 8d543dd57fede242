# On a machine with nothing but Python >= 3.11 and make:
#     make test     set up, then run the tests
#     make demo     set up, then train two methods on the synthetic faces and compare them
#     make check    set up, then lint and type-check
# The first call fills .venv (some minutes, some 6 GB on Linux); the next ones start at once. Another Python: make PYTHON=python3.12 test

VENV ?= .venv
export VENV

# Touched when an install has come to its end, so an interrupted one is done again.
STAMP := $(VENV)/.installed

.PHONY: setup test demo check format build clean

setup: $(STAMP)

$(STAMP): constraints.txt pyproject.toml scripts/setup
	@scripts/setup

test demo check format build: $(STAMP)
	@scripts/$@

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache
