# SPDX-License-Identifier: BSD-3-Clause
# What the lint scripts share; each sources it and is then in the source folder. A check that fails says where and goes
# on, so that one run shows everything.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
planted=tests/lint/planted
failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/daxl-lint.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# need TOOL: ends the test as skipped if there is none.
need()
{
	command -v "$1" >/dev/null && return
	echo "skipped: there is no $1"
	exit 77
}

fail()
{
	printf 'FAIL: %s\n' "$1" >&2
	failed=1
}

# done_with WHAT: the verdict.
done_with()
{
	((failed)) || echo "ok: $1"
	exit "$failed"
}

# What the library is compiled with, test hooks included: they are code, too.
read -ra daxl_flags <<<"-std=gnu11 -D_GNU_SOURCE -Ilib -Iinclude $(pkg-config --cflags liburcu-bp libpmem2)"
daxl_warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wvla
	-Wimplicit-fallthrough -Wformat=2 -Wwrite-strings -Wundef -Werror)
jobs=${JOBS:-2}
