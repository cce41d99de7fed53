# Sourced by the launchers beside it, with $self set to the launcher's real path.
#
# `venv node` and `venv test` see to it that .venv holds what setup.cfg asks for (test: with
# the tools for tests), in the versions of constraints.txt, and set $root and $python.
# A stamp in .venv keeps the checksum of both files, so that later starts only compare it.
# The set-up goes under a lock on constraints.txt; the kernel drops it with the process, and
# one that fails leaves no stamp.  Everything is said on stderr: stdout is the command's.

root=${self%/*/*}
python=$root/.venv/bin/python

venv() {
    wanted=$(cksum "$root/setup.cfg" "$root/bin/constraints.txt") || exit 1
    venv_is "$1" && return
    find_python
    exec 9< "$root/bin/constraints.txt"
    "$base" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' 9<&9 || fail "cannot lock constraints.txt"
    venv_is "$1" || make_venv "$1" < /dev/null >&2
    exec 9<&-
}

venv_is() {
    [ -x "$python" ] && [ "$(cat "$root/.venv/$1.stamp" 2> /dev/null)" = "$wanted" ]
}

find_python() {
    for base in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && return
    done
    fail "needs Python 3.11 or newer and found none (PYTHON=/path/to/python3 names one)"
}

make_venv() {
    echo "${self##*/}: setting up $root/.venv, once"
    "$root/.venv/bin/pip" --version > /dev/null 2>&1 || "$base" -m venv --clear "$root/.venv" ||
        fail "'$base -m venv' failed (on Debian and Ubuntu: apt-get install python3-venv)"
    [ "$1" = test ] && extra='[test]' || extra=
    # The package itself is built by the pinned setuptools, not by a fresh one in isolation.
    install setuptools && install --no-build-isolation --editable "$root$extra" ||
        fail "'pip install' failed, its reason is above; the next start tries again"
    # The tests' set holds all that the node needs.
    for profile in node "$1"; do
        echo "$wanted" > "$root/.venv/$profile.$$" && mv "$root/.venv/$profile.$$" "$root/.venv/$profile.stamp" ||
            fail "cannot write to $root/.venv"
    done
}

install() {
    "$python" -m pip install --quiet --disable-pip-version-check -c "$root/bin/constraints.txt" "$@"
}

fail() {
    echo "${self##*/}: $1" >&2
    exit 1
}
