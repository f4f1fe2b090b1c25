#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The manual pages: mandoc has no warnings about them, each public header has one, and each function has a page that
# leads to where it is described.
#
# usage: lint.sh INCLUDE_DIR PAGES_DIR

set -u

if [ $# -ne 2 ] || [ ! -f "$1/daxlayout.h" ]; then
	echo "usage: $0 INCLUDE_DIR PAGES_DIR (the folder where the pages were made)" >&2
	exit 2
fi
if ! command -v mandoc >/dev/null; then
	echo "skipped: there is no mandoc"
	exit 77
fi
failed=0
pages=0
functions=0

fail()
{
	echo "FAIL: $1" >&2
	failed=$((failed + 1))
}

for header in "$1"/daxlayout.h "$1"/daxlayout/*.h; do
	page=$(basename "$header" .h)
	[ "$page" = daxlayout ] || page=daxlayout_$page
	if [ ! -f "$2/$page.3" ]; then
		fail "${header##*/} has no page $page.3"
		continue
	fi
	pages=$((pages + 1))
	mandoc -T lint -W warning "$2/$page.3" || fail "$page.3 has warnings"
	for function in $(sed -n 's/^DAXL_API .*[ *]\(daxl_[a-z0-9_]*\)(.*/\1/p' "$header"); do
		functions=$((functions + 1))
		[ "$(cat "$2/$function.3" 2>/dev/null)" = ".so man3/$page.3" ] || fail "$function.3 does not lead to $page.3"
		mandoc -T ascii "$2/$page.3" | sed 's/.[[:cntrl:]]//g' | grep -q "^   $function\$" || fail "$page.3 does not describe $function"
	done
done
if [ "$pages" -lt 11 ] || [ "$functions" -lt 50 ]; then
	fail "found only $pages pages and $functions functions"
fi
[ "$failed" -eq 0 ] || exit 1
echo "ok: $pages pages, $functions functions"
