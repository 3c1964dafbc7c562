#!/bin/sh
# Makes .venv with what one lock file names, from nothing but Python 3.11+. Run by make: sh tools/bootstrap.sh requirements.lock
#
# Packages are installed by uv, which comes from PyPI into a place of its own (.tools), pinned by tools/uv.lock with the hashes of its
# wheels for every platform; where that uv is not to be had, by pip, which checks the same hashes of the packages. The
# project itself is not built or installed: a path file points Python at this checkout, which needs no network and no build tool.
set -eu

lock=$1
venv=.venv
tools=.tools

fail() {
  printf '\n%s\n\n' "$*" >&2
  exit 1
}

is_recent() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

can_make_venvs() {
  "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Prints the first Python that will do. One that lacks only the venv package is remembered, to name the package.
find_python() {
  lacking=
  for candidate in ${PYTHON:+"$PYTHON"} python3.14 python3.13 python3.12 python3.11 python3; do
    is_recent "$candidate" || continue
    if can_make_venvs "$candidate"; then
      command -v "$candidate"
      return
    fi
    lacking=${lacking:-$candidate}
  done
  [ -n "$lacking" ] || fail "Perennial needs Python 3.11 or later, and there is none here.
  Debian, Ubuntu:  sudo apt install python3 python3-venv
  macOS:           brew install python
If it is somewhere unusual:  make PYTHON=/path/to/python3"
  version=$("$lacking" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  fail "Python $version is here, but not its module for virtual environments. Install it, then run make again:
  sudo apt install python3-venv        (or python$version-venv, where Python came from elsewhere)"
}

# uv does not read pip's settings; whoever has a mirror has usually told pip.
tell_uv_what_pip_knows() {
  index=${PIP_INDEX_URL:-$("$tools/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
  if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$index"
  fi
  if [ -n "${PIP_CERT:-}" ] && [ -z "${SSL_CERT_FILE:-}" ]; then
    export SSL_CERT_FILE="$PIP_CERT"
  fi
}

# Both keep what they downloaded under HOME, where there is one.
keep_downloads_here_without_a_home() {
  [ ! -w "${HOME:-/nowhere}" ] || return 0
  export UV_CACHE_DIR="${UV_CACHE_DIR:-$PWD/$tools/cache/uv}" PIP_CACHE_DIR="${PIP_CACHE_DIR:-$PWD/$tools/cache/pip}"
}

install_packages() {
  if [ -x "$tools/bin/uv" ] && "$tools/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock"; then
    return
  fi
  echo "uv could not install the packages; trying pip, which takes longer." >&2
  "$tools/bin/python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --require-hashes -r "$lock"
}

point_at_this_checkout() {
  "$venv/bin/python" - <<'END'
import sysconfig
from pathlib import Path

(Path(sysconfig.get_path("purelib")) / "perennial-checkout.pth").write_text(f"{Path.cwd()}\n")
END
  rm -f "$venv/bin/perennial"
  cat >"$venv/bin/perennial" <<'END'
#!/bin/sh
exec "$(dirname "$0")/python" -m perennial "$@"
END
  chmod 755 "$venv/bin/perennial"
}

if ! is_recent "$venv/bin/python"; then
  python=$(find_python)
  rm -rf "$venv"
  "$python" -m venv --without-pip "$venv"
fi
keep_downloads_here_without_a_home
if ! "$tools/bin/python" -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  rm -rf "$tools"
  "$python" -m venv "$tools"
fi
# A uv that the lock does not name, of an earlier version of this script, is replaced, or left out.
if [ ! -x "$tools/bin/uv" ] || ! cmp -s tools/uv.lock "$tools/uv.lock"; then
  rm -f "$tools/bin/uv"
  if "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --only-binary :all: --require-hashes -r tools/uv.lock; then
    cp tools/uv.lock "$tools/uv.lock"
  else
    rm -f "$tools/bin/uv"
  fi
fi

echo "Installing the packages of $lock ..."
tell_uv_what_pip_knows
install_packages
point_at_this_checkout
