#!/usr/bin/env bash
# Install where needed, then run the tests: launch/test.sh [PYTEST ARGUMENTS].
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/setup.sh
prepare dev
# a process for each core; a file stays in one of them, since its tests share trained networks and programs
exec .venv/bin/python -m pytest -n auto --dist loadfile "$@"
