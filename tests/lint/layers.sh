#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The folders of the library: a file includes its own folder's headers and those of the folders above it in the table of
# lib/README.md. Each folder is in that table. libpmem2 is known to media alone, liburcu to base/rcu.h; headers are
# complete in themselves.
#
# usage: layers.sh

set -euo pipefail
. "$(dirname "$0")/common.sh"

# order: the folders in the order of the table.
order()
{
	sed -n '/^| folder/,/^$/s/^| `\([a-z]*\)\/`.*/\1/p' lib/README.md
}
declare -A rank
n=0
for folder in $(order); do
	rank[$folder]=$((++n))
	[[ -d lib/$folder ]] || fail "lib/README.md lists $folder/, which is not there"
done
((n >= 8)) || fail "found only $n folders in the table of lib/README.md"

# allowed FILE INCLUDE: whether a file may have this line's "..." or <...>; else says why not.
allowed()
{
	local folder=${1#lib/} name=${2:1:-1}
	folder=${folder%%/*}
	case $2 in
	\"*)
		local other=${name%%/*}
		if [[ ! -f lib/$name ]]; then
			echo "is written otherwise than \"folder/file.h\""
		elif ((${rank[$other]} > ${rank[$folder]})); then
			echo "$other/ is below $folder/"
		elif [[ $name == space/*_impl.h || $name == space/group.h || $name == lease/impl.h ]] && [[ $other != "$folder" ]]; then
			echo "is for $other/ alone"
		fi
		;;
	\<libpmem2*) [[ $folder == media ]] || echo "is for media/ alone" ;;
	\<urcu*) [[ $1 == lib/base/rcu.[ch] ]] || echo "is for base/rcu.h alone" ;;
	esac
}

checked=0
for file in lib/*/*.[ch]; do
	folder=${file#lib/}
	if [[ -z ${rank[${folder%%/*}]:-} ]]; then
		fail "lib/README.md does not list ${folder%%/*}/"
		rank[${folder%%/*}]=99
	fi
	while read -r include; do
		why=$(allowed "$file" "$include")
		[[ -z $why ]] || fail "$file: #include $include $why"
		checked=$((checked + 1))
	done < <(sed -n 's/^#[[:space:]]*include[[:space:]]*\(["<][^">]*[">]\).*/\1/p' "$file")
done

# What must not be allowed, so that the check is known to check.
for pair in 'lib/base/lock.h "file/file.h"' 'lib/map/rope.h "space/space.h" ok' 'lib/space/page.c "map/slab.h"' \
	'lib/file/pool.c <libpmem2/base.h>' 'lib/ops/op.c <urcu-bp.h>' 'lib/ops/op.c "lease/impl.h"' 'lib/ops/op.c "op.h"'; do
	read -r file include good <<<"$pair"
	[[ -n $(allowed "$file" "$include") || -n $good ]] || fail "the check would allow $include in $file"
done

for header in lib/*/*.h; do
	printf '#include "%s"\n' "${header#lib/}"
	"${CC:-cc}" "${daxl_flags[@]}" -fsyntax-only -x c - <<<"#include \"${header#lib/}\"" 2>"$work/err" >"$work/out" || {
		cat "$work/err" >&2
		fail "$header is not complete in itself"
	}
done >/dev/null
done_with "$checked includes go up or stay in their folder, each header is complete"
