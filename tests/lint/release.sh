#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The library as a release builds it, -O3 and without assertions, has no warnings: optimizers see more than -O2 does.
#
# usage: release.sh COMPILER

set -euo pipefail
. "$(dirname "$0")/common.sh"
if (($# != 1)); then
	echo "usage: $0 COMPILER" >&2
	exit 2
fi
need "$1"

if "$1" "${daxl_flags[@]}" "${daxl_warnings[@]}" -O3 -DNDEBUG -S -o /dev/null "$planted/release.c" 2>"$work/planted"; then
	fail "$1 does not find the mistake planted for it"
fi
# A few files a call; -S: the assembler has no warnings.
printf '%s\0' lib/*/*.c | (
	cd "$work"
	for dir in lib include tests; do ln -s "$OLDPWD/$dir" .; done
	xargs -0 -n 8 -P "$jobs" "$1" "${daxl_flags[@]}" "${daxl_warnings[@]}" -O3 -DNDEBUG -S
) 2>"$work/found" || {
	cat "$work/found" >&2
	fail "$1 -O3 has warnings"
}
done_with "no warnings from $1 -O3"
