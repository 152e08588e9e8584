#!/usr/bin/env bash
# Install where needed, then search: launch/local.sh [CONFIG [--SETTING VALUE ...]]; without arguments the digits.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/launch/setup.sh"
(cd "$root" && prepare "${JAXNAS_EXTRAS:-}")
[ $# -gt 0 ] || set -- "$root/configs/digits.py" --final
exec "$root/.venv/bin/python" -m jaxnas search "$@"
