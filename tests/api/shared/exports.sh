#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# What the headers declare, what the version script lists, and what the shared library exports are the same names; and
# each of them is called by a test of this folder.
#
# usage: exports.sh LIBRARY SOURCE_DIR

set -eu

if [ $# -ne 2 ] || [ ! -f "$1" ] || [ ! -f "$2/lib/daxlayout.map" ]; then
	echo "usage: $0 LIBRARY SOURCE_DIR" >&2
	exit 2
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/daxl-exports.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

sed -n 's/^DAXL_API .*[ *]\(daxl_[a-z0-9_]*\)(.*/\1/p' "$2"/include/daxlayout/*.h | sort >"$work/declared"
sed -n 's/^[[:space:]]*\(daxl_[a-z0-9_]*\);$/\1/p' "$2/lib/daxlayout.map" | sort >"$work/listed"
nm -D --defined-only "$1" | sed -n 's/^[0-9a-f]* [A-Z] \([^@]*\)@@*DAXL_.*/\1/p' | grep -v '^DAXL_' | sort >"$work/exported"
nm -D --defined-only "$1" | awk '{ print $3 }' | sed 's/@.*//' | grep -v '^DAXL_' | sort >"$work/visible"

failed=0
# same A B: the two lists are alike, and not empty
same()
{
	if [ ! -s "$work/$1" ] || ! diff "$work/$1" "$work/$2" >"$work/diff"; then
		echo "FAIL: what is $1 (<) and what is $2 (>) differ:" >&2
		cat "$work/diff" >&2
		failed=1
	fi
}
same declared listed
same listed exported
same exported visible

while read -r name; do
	if ! grep -q "[^a-z_]$name(" "$2"/tests/api/test_*.c; then
		echo "FAIL: no test in tests/api calls $name" >&2
		failed=1
	fi
done <"$work/listed"
[ "$failed" -eq 0 ] && echo "ok: $(wc -l <"$work/listed") functions are declared, listed, exported and called by tests"
exit "$failed"
