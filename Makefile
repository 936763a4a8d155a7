# `make demo` and `make test` need Python 3.10 to 3.13 and nothing else: they set .venv up themselves, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FAST := not slow and not browser and not ray and not gpu
STATEMENTS := NORM AFIB CLBBB STACH SBRAD LVH PVC IMI

.PHONY: demo test test-all test-pythons lint docs wheel constraints clean

# The package itself, for using it.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "Python 3.10 to 3.13 is needed: make PYTHON=python3.12 ...")'
	@echo "setting up $(VENV), once: PyTorch and a few others are downloaded unless pip has them already"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

# And what developing it takes.
$(VENV)/developing: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# ECGs of several statements by the built-in model on the CPU, as WFDB records and on ECG paper.
demo: $(VENV)/installed
	$(BIN)/sssd-ecg generate $(STATEMENTS:%=--label %) --seed 1 --device cpu --format wfdb,png --out demo --overwrite

# The fast tests, on all cores; the documentation is built by one of them.
test: $(VENV)/developing lint
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "$(FAST)"
	$(MAKE) wheel

test-all: $(VENV)/developing lint
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,browser,loaders,notebooks,ray]'
	$(BIN)/python -m pytest -q
	$(MAKE) wheel

# The fast tests with each Python that is installed, and with the lowest versions of the dependencies that are declared.
test-pythons: $(VENV)/developing
	FAST="$(FAST)" scripts/test_pythons.sh $(BIN)/uv $(CASES)

lint: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The documentation as a site that opens without a server and without a network: build/docs/index.html.
docs: $(VENV)/developing
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Choose the versions to test a release with: the newest that are published, but for PyTorch, which brings its own Triton.
constraints: $(VENV)/developing
	grep '^torch==' constraints.txt > build/torch.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --all-extras --constraint build/torch.txt \
		--no-header --no-annotate pyproject.toml | grep -v -E '^(cuda|nvidia|triton)\b' > build/constraints.txt
	mv build/constraints.txt constraints.txt

# Build the wheel and try what is in it, installed alone into an empty folder; its dependencies come from .venv.
wheel: $(VENV)/developing
	rm -rf build/dist build/site
	$(BIN)/python -m build --wheel --no-isolation --outdir build/dist .
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target build/site build/dist/*.whl
	cd build/site && PYTHONPATH=. ../../$(BIN)/python -c 'import sssd, sys; \
		assert "torch" not in sys.modules and sssd.__file__.startswith(sys.argv[1]), sssd.__file__; \
		sssd.SSSDECG.from_pretrained(); from sssd.cli import main; sys.exit(main(["labels", "bundle"]))' "$$PWD"

clean:
	rm -rf build demo .mypy_cache .pytest_cache .ruff_cache
