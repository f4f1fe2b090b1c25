#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The examples in the manual pages and in README.md compile, without warnings.
#
# usage: examples.sh SOURCE_DIR    (CC names the compiler)

set -u

if [ $# -ne 1 ] || [ ! -f "$1/include/daxlayout.h" ]; then
	echo "usage: $0 SOURCE_DIR" >&2
	exit 2
fi
cc=${CC:-cc}
work=$(mktemp -d "${TMPDIR:-/tmp}/daxl-man.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

examples=0
failed=0

# compile SOURCE NAME
compile()
{
	if [ ! -s "$1" ]; then
		echo "FAIL: no example in $2" >&2
		failed=$((failed + 1))
		return
	fi
	examples=$((examples + 1))
	# CC may hold options, so it is split on purpose.
	# shellcheck disable=SC2086
	if ! $cc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I"$include" \
		-fsyntax-only "$1" >"$work/log" 2>&1; then
		echo "FAIL: the example in $2 does not compile:" >&2
		sed 's/^/    /' "$work/log" >&2
		failed=$((failed + 1))
	fi
}

include=$1/include
for frame in "$1"/lib/man/*.3.in; do
	awk '/^\.Sh/ { on = /EXAMPLES/ } /^\.Ed/ { code = 0 } code { gsub(/\\e/, "\\"); gsub(/\\-/, "-"); print }
		on && /^\.Bd -literal/ { code = 1 }' "$frame" >"$work/one.c"
	compile "$work/one.c" "${frame##*/}"
done
awk '/^```$/ { on = 0 } on { print } /^```c$/ { on = 1 }' "$1/README.md" >"$work/one.c"
compile "$work/one.c" README.md

if [ "$failed" -ne 0 ]; then
	exit 1
fi
echo "ok: $examples examples compile ($cc)"
