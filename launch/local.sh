#!/usr/bin/env bash
# Install where needed, then search: launch/local.sh [CONFIG [--SETTING VALUE ...]]; without arguments the digits.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/setup.sh
prepare ""
[ $# -gt 0 ] || set -- configs/digits.py --final
exec .venv/bin/python -m jaxnas search "$@"
