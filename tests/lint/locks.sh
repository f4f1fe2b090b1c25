#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Who holds which lock where, and in which order, as clang's thread safety analysis sees it (base/role.h). Each mistake
# in planted/locks is one that it must find.
#
# usage: locks.sh

set -euo pipefail
. "$(dirname "$0")/common.sh"
clang=clang-14
command -v "$clang" >/dev/null || clang=clang
need "$clang"

flags=(-Itests/lint "${daxl_flags[@]}" -DDAXL_CHECK_LOCKS -DDAXL_TEST_HOOKS -Wthread-safety -Wthread-safety-beta -Werror -fsyntax-only
	-fno-caret-diagnostics)

# Each file of planted/locks says in its second line, after "Planted: ", a part of what clang must say of it.
mistakes=0
for file in "$planted"/locks/*.c; do
	expected=$(sed -n '2s/.*Planted: \(.*\) \*\/$/\1/p' "$file")
	[[ -n $expected ]] || fail "$file does not say what is planted"
	if "$clang" "${flags[@]}" "$file" 2>"$work/said"; then
		fail "$file: the mistake is not found"
	elif ! grep -qF "$expected" "$work/said" || [[ $(grep -c ': error:' "$work/said") != 1 ]]; then
		cat "$work/said" >&2
		fail "$file: not what was expected: $expected"
	fi
	mistakes=$((mistakes + 1))
done
"$clang" "${flags[@]}" "$planted/locks.c" 2>"$work/said" || {
	cat "$work/said" >&2
	fail "what is right in $planted/locks.c is not found right"
}

# All but the mutexes themselves.
printf '%s\0' lib/*/*.c | grep -zv '^lib/base/lock\.c$' | xargs -0 -n 70 -P "$jobs" "$clang" "${flags[@]}" 2>"$work/found" || {
	cat "$work/found" >&2
	fail "locks are taken out of order, or not held"
}
done_with "locks are held and ordered as declared; $mistakes planted mistakes are found"
