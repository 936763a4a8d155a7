#!/usr/bin/env bash
# Run the fast tests with each Python from 3.10 to 3.13 that is installed, and with the lowest versions of the dependencies
# that pyproject.toml declares (PyTorch stays at the one of constraints.txt). What is absent is skipped and reported.
#
#   scripts/test_pythons.sh [UV] [CASE ...]      a case is a version such as 3.12, or "lowest"; all of them without one
#
# `make test-pythons CASES="3.12 lowest"` calls it and says in FAST which tests are fast. The environments stay in
# build/pythons; PYTEST_ADDOPTS holds further arguments for pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
uv=${1:-uv}
cases=("${@:2}")
[ ${#cases[@]} -gt 0 ] || cases=(3.10 3.11 3.12 3.13 lowest)
if command -v pyenv > /dev/null; then
    PATH=$(printf '%s:' "$(pyenv root)"/versions/3.*/bin)$PATH
fi
mkdir -p build/pythons
grep '^torch==' constraints.txt > build/torch.txt
report=()
failed=0

for case in "${cases[@]}"; do
    version=${case/lowest/3.10}
    if ! python=$("$uv" python find --no-python-downloads --no-project "$version" 2> /dev/null); then
        report+=("$case: skipped, Python $version is not installed")
        continue
    fi
    environment=build/pythons/$case
    if [ "$case" = lowest ]; then
        choice=(--resolution lowest-direct -c build/torch.txt)
    else
        choice=(-c constraints.txt)
    fi
    echo "== $case: $("$python" --version), $python"
    "$uv" venv --quiet --clear --python "$python" "$environment" &&
        "$uv" pip install --quiet --python "$environment" "${choice[@]}" -e '.[dev]' &&
        "$environment/bin/python" -m pytest -q -m "${FAST:-not slow}"
    if [ $? = 0 ]; then
        report+=("$case: passed")
    else
        report+=("$case: FAILED")
        failed=1
    fi
done

printf '%s\n' "" "${report[@]}"
exit $failed
