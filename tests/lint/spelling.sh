#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# codespell over all text. .codespellrc has the words that are right here.
#
# usage: spelling.sh

set -euo pipefail
. "$(dirname "$0")/common.sh"
need codespell

if codespell - <<<"planted: t""eh" >"$work/planted"; then
	fail "codespell does not find the mistake planted for it"
fi
texts=(CMakeLists.txt README.md examples include lib tests .ci)
codespell "${texts[@]}" >"$work/found" || {
	cat "$work/found" >&2
	fail "codespell finds $(wc -l <"$work/found") words"
}
done_with "no misspelt words"
