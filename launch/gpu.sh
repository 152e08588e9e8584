#!/usr/bin/env bash
# Install with CUDA where needed, then search: launch/gpu.sh CONFIG [--SETTING VALUE ...]; without arguments the digits.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/setup.sh
prepare cuda
[ $# -gt 0 ] || set -- configs/digits.py --final
exec .venv/bin/python -m jaxnas search "$@"
