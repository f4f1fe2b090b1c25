#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# cppcheck over the library. What it is wrong about is suppressed in the line, with the reason.
#
# usage: cppcheck.sh

set -euo pipefail
. "$(dirname "$0")/common.sh"
need cppcheck

# check FILE...: findings go to $work/found.
check()
{
	cppcheck -j"$jobs" --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=unmatchedSuppression -D_GNU_SOURCE -DDAXL_TEST_HOOKS -Ilib -Iinclude --error-exitcode=1 \
		--template='{file}:{line}: {severity}: {message} [{id}]' "$@" 2>"$work/found"
}

if check "$planted/cppcheck.c" || ! grep -q '\[uninitvar\]' "$work/found"; then
	fail "cppcheck does not find the mistake planted for it"
fi
if ! check lib; then
	cat "$work/found" >&2
	fail "cppcheck has $(wc -l <"$work/found") findings"
fi
done_with "cppcheck finds nothing, but the mistake planted for it"
