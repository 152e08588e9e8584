#!/usr/bin/env bash
# Install where needed, then run the tests: launch/test.sh [PYTEST ARGUMENTS].
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/setup.sh
prepare dev
exec .venv/bin/python -m pytest "$@"
