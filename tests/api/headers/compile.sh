#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Each public header compiles alone, without warnings and without feature
# macros, as C99, C11, C++11 and C++17; every _INIT macro initialises its struct
# completely; DAXL_API functions can be taken the address of with C linkage.
#
# usage: compile.sh INCLUDE_DIR    (CC and CXX name the compilers)

set -u

if [ $# -ne 1 ] || [ ! -f "$1/daxlayout.h" ]; then
	echo "usage: $0 INCLUDE_DIR (the folder that holds daxlayout.h)" >&2
	exit 2
fi
include=$(CDPATH='' cd -- "$1" && pwd) || exit 2
cc=${CC:-cc}
cxx=${CXX:-c++}
warn="-Wall -Wextra -Wpedantic -Wmissing-field-initializers -Wundef -Werror"

work=$(mktemp -d "${TMPDIR:-/tmp}/daxl-headers.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Lines to append for a header: one variable for each INIT macro it defines.
# DAXL_FOO_INIT belongs to struct daxl_foo.
init_lines()
{
	sed -n 's/^#define \(DAXL_[A-Z_]*_INIT\) .*/\1/p' "$1" | while read -r macro; do
		name=$(printf '%s' "${macro%_INIT}" | tr '[:upper:]' '[:lower:]')
		printf 'size_t use_%s(void);\n' "$name"
		printf 'size_t use_%s(void)\n{\n' "$name"
		printf '\tstatic const struct %s fixed = %s;\n' "$name" "$macro"
		printf '\tstruct %s local = %s;\n' "$name" "$macro"
		printf '\treturn fixed.size + local.size;\n}\n'
	done
}

headers=0
inits=0
runs=0
failed=0

# compile COMPILER STANDARD SOURCE HEADER
compile()
{
	runs=$((runs + 1))
	# The compiler variables may hold options, so they are split on purpose.
	# shellcheck disable=SC2086
	if ! $1 -std="$2" $warn -I"$include" -fsyntax-only "$3" >"$work/log" 2>&1; then
		echo "FAIL: $4 does not compile alone with $1 -std=$2:" >&2
		sed 's/^/    /' "$work/log" >&2
		failed=$((failed + 1))
	fi
}

for path in "$include"/daxlayout.h "$include"/daxlayout/*.h; do
	header=${path#"$include"/}
	headers=$((headers + 1))

	# Twice, so that the include guard is tried too.
	{
		printf '#include <%s>\n#include <%s>\n' "$header" "$header"
		printf 'extern int daxl_header_is_not_empty;\n'
		if [ "$header" = daxlayout.h ]; then
			for part in "$include"/daxlayout/*.h; do
				init_lines "$part"
			done
		else
			init_lines "$path"
		fi
	} >"$work/one.c"
	cp "$work/one.c" "$work/one.cpp"
	inits=$((inits + $(grep -c 'static const struct' "$work/one.c")))

	for std in c99 c11; do
		compile "$cc" $std "$work/one.c" "$header"
	done
	for std in c++11 c++17; do
		compile "$cxx" $std "$work/one.cpp" "$header"
	done
done

if [ "$headers" -lt 10 ] || [ "$inits" -lt 6 ]; then
	echo "FAIL: found only $headers headers and $inits uses of INIT macros" >&2
	failed=$((failed + 1))
fi
if [ "$failed" -ne 0 ]; then
	echo "$failed of $runs compilations failed" >&2
	exit 1
fi
echo "ok: $headers headers, $runs compilations, $inits uses of INIT macros ($cc, $cxx)"
