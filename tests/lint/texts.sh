#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What each file of the project has: a licence line, a last newline; no banners, no notes to self, no blanks at the end of
# a line, no marks of a merge, not too many lines. And lib/README.md against the code: the ranks in order, and each file
# it names.
#
# usage: texts.sh

set -euo pipefail
. "$(dirname "$0")/common.sh"

# none WHAT PATTERN FILE...: no line matches; else shows the first ten.
none()
{
	local what=$1 pattern=$2
	shift 2
	if grep -nE -- "$pattern" /dev/null "$@" >"$work/found"; then
		head -n 10 "$work/found" >&2
		fail "$what"
	fi
}

mapfile -t code < <(find lib include tests examples -name '*.[ch]' | sort)
mapfile -t scripts < <(find tests examples lib .ci -name '*.sh' -o -path '.ci/*' -type f ! -name packages | sort)
mapfile -t other < <(find . -name CMakeLists.txt -not -path './build/*' -o -path './lib/man/*' -type f | sort)
((${#code[@]} > 200 && ${#scripts[@]} > 10)) || fail "found only ${#code[@]} C files and ${#scripts[@]} scripts"

for file in "${code[@]}" "${scripts[@]}" "${other[@]}"; do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: BSD-3-Clause' || fail "$file has no licence line at its top"
	[[ -z $(tail -c 1 "$file") ]] || fail "$file does not end with a newline"
done
none "a comment is a banner" '^[[:space:]]*(/\*|//|#)?[[:space:]]*[-=*#~_]{8,}[[:space:]]*(\*/)?$|/\*{3,}|\*{3,}/' "${code[@]}" "${scripts[@]}"
none "a note to self" '(^|[^[:alnum:]_])(TODO|FIXME|XXX)([^[:alnum:]_]|$)' "${code[@]}" "${other[@]}"
none "blanks at the end of a line" '[[:blank:]]$' "${code[@]}" "${scripts[@]}" "${other[@]}"
none "marks of a merge" '^(<<<<<<<|>>>>>>>|\|\|\|\|\|\|\|)( |$)' "${code[@]}" "${scripts[@]}" "${other[@]}"

# lines MAX FILE...: a file that outgrows it has more than one idea.
lines()
{
	local max=$1 file n
	shift
	while read -r n file; do
		((n <= max)) || [[ $file == total ]] || fail "$file has $n lines: more than $max"
	done < <(wc -l "$@")
}
lines 600 lib/*/*.[ch] include/*.h include/*/*.h
lines 1200 $(find tests examples -name '*.[ch]')

sed -n '/^enum daxl_lock_rank/,/^}/s/^	DAXL_RANK_\([A-Z]*\),.*/\1/p' lib/base/lock.h | grep -v '^COUNT$' >"$work/ranks"
sed -n '/^| rank | guards/,/^$/s/^| \([A-Z]*\) |.*/\1/p' lib/README.md >"$work/documented"
sed -n 's/^extern struct daxl_role daxl_role_\([A-Z]*\)\b.*/\1/p' lib/base/role.h | grep -v '^SPIN$' >"$work/roles"
[[ -s $work/ranks ]] || fail "found no ranks in lib/base/lock.h"
diff "$work/ranks" "$work/documented" >&2 || fail "the ranks in lib/README.md (>) and lib/base/lock.h (<) differ"
diff "$work/ranks" "$work/roles" >&2 || fail "the roles in lib/base/role.h (>) and the ranks in lib/base/lock.h (<) differ"

while read -r name; do
	[[ -e lib/$name || -e include/daxlayout/$name || -n $(find lib -name "$name") ]] || fail "lib/README.md names $name, which is not there"
done < <(grep -oE '`[a-z_]+(/[a-z_]+)?\.[ch]`' lib/README.md | tr -d '`' | sort -u)
done_with "${#code[@]} C files, ${#scripts[@]} scripts and what lib/README.md says"
