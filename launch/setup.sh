# Sourced by the other scripts: `prepare EXTRAS` makes .venv where it is missing and installs jaxnas with these extras.

prepare() {
    local extras=$1 python=${PYTHON:-python3} wanted
    if [ ! -x .venv/bin/python ]; then
        if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "jaxnas needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Set PYTHON to a newer one." >&2
            exit 1
        fi
        "$python" -m venv .venv
    fi
    # installed already, from these very files?
    wanted="$extras $(cat pyproject.toml requirements.txt | cksum)"
    if [ ! -f .venv/installed ] || ! grep -qxF "$wanted" .venv/installed; then
        echo "installing jaxnas${extras:+ with $extras} into .venv ..."
        if [ -n "$extras" ]; then
            .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
        else
            .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
        fi
        echo "$wanted" >>.venv/installed
    fi
}
