#!/usr/bin/env bash
# The same as local.sh, with CUDA: launch/gpu.sh [CONFIG [--SETTING VALUE ...]].
JAXNAS_EXTRAS=cuda exec "$(dirname "$0")/local.sh" "$@"
