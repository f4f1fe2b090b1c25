#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# clang-tidy over the library, with the checks of .clang-tidy. What it is wrong about is marked NOLINT in the line, with
# the name of the check and the reason.
#
# usage: tidy.sh

set -euo pipefail
. "$(dirname "$0")/common.sh"
tidy=clang-tidy-14
command -v "$tidy" >/dev/null || tidy=clang-tidy
need "$tidy"

# check FILE: prints what is found in it.
check()
{
	local out
	out=$("$tidy" --quiet --config-file=.clang-tidy --warnings-as-errors='*' "$1" -- "${daxl_flags[@]}" \
		-DDAXL_TEST_HOOKS 2>"$work/${1//\//_}.err") && return
	cat "$work/${1//\//_}.err"
	printf '%s\n' "$out"
}

check "$planted/tidy.c" >"$work/planted"
for name in bugprone-branch-clone clang-analyzer-core.NullDereference; do
	grep -q "\[$name" "$work/planted" || fail "clang-tidy does not find the mistake planted for $name"
done

# Two files at a time, the long ones first.
mapfile -t files < <(ls -S lib/*/*.c)
for ((at = 0; at < jobs; at++)); do
	for ((i = at; i < ${#files[@]}; i += jobs)); do
		check "${files[i]}"
	done >"$work/found.$at" &
done
wait
if cat "$work"/found.* | grep . >"$work/found"; then
	cat "$work/found" >&2
	fail "clang-tidy has findings"
fi
done_with "clang-tidy finds nothing in ${#files[@]} files, but the mistakes planted for it"
