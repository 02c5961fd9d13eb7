# One name per action; CI, the README and people use the same ones.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
RIVALS := $(VENV)/.rivals
# The tests run in a process for every core, at most four; a part of them (TEST=…) in one, which begins sooner.
PROCESSES ?= $(if $(TEST),0,auto)
PYTEST := $(RUN) -m pytest -n $(PROCESSES) --maxprocesses 4 --dist worksteal

# The search of benchmarks/demo: from the defaults of torch.optim.AdamW.
TUNE ?= task=digits optimizer=adamw start.lr=0.001 start.beta1=0.9 start.wd=0.01 study=demo

.PHONY: tune test test-quick test-all check format verify-results bench bench-full bench-latency bench-throughput bench-94 clean

tune: $(STAMP)  ## AdamW on scikit-learn's digits, from torch's defaults (TUNE="task=… key=value" for anything else)
	$(RUN) -m flatdirs.tune $(TUNE)

test: $(STAMP)  ## the test suite, about a quarter of an hour on two cores (TEST="tests/test_chart.py -k name" for a part of it)
	$(PYTEST) -m "not long" $(TEST)

test-quick: $(STAMP)  ## the tests that are not marked slow: a bit more than a minute on two cores
	$(PYTEST) -m "not slow and not long" $(TEST)

test-all: $(STAMP)  ## every test, with the check of a GPU machine run small on the CPU: longer
	$(PYTEST) $(TEST)

check: $(STAMP)  ## ruff, mypy --strict, the import contracts, repeated code, and the commands in README.md
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) -m pylint --disable=all --enable=duplicate-code --min-similarity-lines=13 flatdirs hydra_plugins
	$(RUN) tests/readme_commands.py

format: $(STAMP)  ## let ruff put things in order
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

verify-results: $(STAMP)  ## draw every table and figure of benchmarks/ again; fail where one, or a number in README.md, differs
	$(RUN) -m benchmarks.verify

bench: $(RIVALS)  ## what each search hands over on tuning surfaces, every one but the slow ones; goes on where it stopped
	$(RUN) -m benchmarks.search workers=2 $(BENCH)

bench-full: $(RIVALS)  ## the same with wider boxes, the Gaussian process, CFO, ablation and wrong charts; hours, goes on where it stopped
	$(RUN) -m benchmarks.search workers=2 full=true $(BENCH)

bench-latency: $(STAMP)  ## the sampler's own time per proposal, on each storage, beside TPE's
	$(RUN) -m benchmarks.latency

bench-94: $(STAMP)  ## runs until 94 % on CIFAR-10, each search against the others; wants a GPU (BENCH="--data cifar10.npz --minutes 60")
	$(RUN) -m benchmarks.gpu --part searches $(BENCH)

bench-throughput: $(STAMP)  ## images per second beside plain PyTorch and beside the convolutions alone (THROUGHPUT="--data cifar10.npz")
	$(RUN) -m benchmarks.throughput $(THROUGHPUT)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("flatdirs needs Python 3.10 or newer; run make PYTHON=python3.11" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "flatdirs needs python3-venv to make $(VENV): sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(RIVALS): $(STAMP)
	$(RUN) -m pip install --quiet --disable-pip-version-check flaml==2.7.0
	@touch $@

clean:  ## remove the environment and everything that was built; studies stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
