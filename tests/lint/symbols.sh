#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The static library's names: each that is visible begins with daxl_, since whoever links it shares one name space with
# it. Its writable data: each variable is listed in tests/lint/writable, with what keeps threads apart. (What the shared
# library exports is compared in tests/api/shared/exports.sh.)
#
# usage: symbols.sh STATIC_LIBRARY

set -euo pipefail
. "$(dirname "$0")/common.sh"
if (($# != 1)) || [[ ! -f $1 ]]; then
	echo "usage: $0 STATIC_LIBRARY" >&2
	exit 2
fi
need nm
need objdump

nm --extern-only --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u >"$work/visible"
[[ $(wc -l <"$work/visible") -ge 200 ]] || fail "found only $(wc -l <"$work/visible") names in $1"
while read -r name; do
	[[ $name == daxl_* ]] || fail "the name $name does not begin with daxl_"
done <"$work/visible"

# By section: constants that the loader has to relocate are in .data.rel.ro, thread-local variables in .tbss and .tdata.
objdump --syms "$1" | awk -F '\t' 'NF == 2 {
	n = split($1, left, " "); m = split($2, right, " "); name = right[m]
	if (left[n] ~ /^(\.data|\.bss|\*COM\*)/ && left[n] !~ /^\.data\.rel\.ro/ && name !~ /^\./) {
		sub(/\.[0-9]+$/, "", name)
		print name
	}
}' | sort -u >"$work/writable"
sed -n 's/^\([a-z_]*\):.*/\1/p' tests/lint/writable | sort >"$work/listed"
while read -r name; do
	fail "the variable $name is not in tests/lint/writable: what keeps threads apart there?"
done < <(comm -23 "$work/writable" "$work/listed")
while read -r name; do
	fail "tests/lint/writable lists $name, which is not there"
done < <(comm -13 "$work/writable" "$work/listed")
done_with "$(wc -l <"$work/visible") visible names begin with daxl_, $(wc -l <"$work/writable") writable variables are accounted for"
