#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Installs a build tree into a scratch folder, builds examples/ against it as a user would (find_package, and
# pkg-config with the shared and the static library), and runs the programs that take no time.
#
# usage: examples.sh BUILD_TREE SOURCE_DIR    (CC names the compiler)

set -eu

if [ $# -ne 2 ] || [ ! -f "$1/CMakeCache.txt" ] || [ ! -f "$2/examples/CMakeLists.txt" ]; then
	echo "usage: $0 BUILD_TREE SOURCE_DIR" >&2
	exit 2
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/daxl-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cc=${CC:-cc}
stage=$work/stage
quick="pool_create_list write_read recall_callback recall_epoll crash_recover"

# quietly COMMAND...: its output only if it fails
quietly()
{
	if ! "$@" >"$work/log" 2>&1; then
		echo "FAIL: $*" >&2
		cat "$work/log" >&2
		exit 1
	fi
}

quietly cmake --install "$1" --prefix "$stage"
libdir=$(dirname "$(find "$stage" -name libdaxlayout.so)")
cp -R "$2/examples" "$work/examples" # nothing of the source tree can be found from there

quietly cmake -S "$work/examples" -B "$work/build" -DCMAKE_PREFIX_PATH="$stage" -DCMAKE_C_COMPILER="$cc"
quietly cmake --build "$work/build"
for name in $quick; do
	quietly "$work/build/$name"
done

export PKG_CONFIG_PATH="$libdir/pkgconfig"
# The pc file knows the prefix that was configured; the scratch folder stands in for it.
shared=$(pkg-config --define-variable=prefix="$stage" --cflags --libs libdaxlayout)
static=$(pkg-config --define-variable=prefix="$stage" --static --cflags --libs libdaxlayout |
	sed 's/-ldaxlayout/-l:libdaxlayout.a/')
for name in $quick; do
	# The flags are split on purpose.
	# shellcheck disable=SC2086
	quietly "$cc" -o "$work/shared-$name" "$work/examples/$name.c" $shared -pthread
	quietly env LD_LIBRARY_PATH="$libdir" "$work/shared-$name"
	# shellcheck disable=SC2086
	quietly "$cc" -o "$work/static-$name" "$work/examples/$name.c" $static -pthread
	if ldd "$work/static-$name" | grep -q libdaxlayout; then
		echo "FAIL: $name, linked statically, asks for the shared library" >&2
		exit 1
	fi
	quietly "$work/static-$name"
done
echo "ok: $quick: built with find_package, pkg-config and pkg-config --static, and run"
