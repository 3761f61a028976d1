# cmake --install puts one file in place, and that file needs no other: no source tree, no environment.
. "$SOURCE/tests/cli/tiny"
make_tiny
cmake --install "$(dirname "$(command -v uptc)")" --prefix "$PWD/place" >/dev/null || exit 9
find place -type f
alone() { env -i HOME="$PWD" PATH=/usr/bin:/bin ${TSAN_OPTIONS:+"TSAN_OPTIONS=$TSAN_OPTIONS"} "$@"; }
alone place/bin/uptc --version | sed 's/[0-9.]\{5,\}/N/'
try alone place/bin/uptc compile tiny.upm
mkdir away && mv tiny.upx corpus away && cd away
try alone ../place/bin/uptc run | steady
alone ../place/bin/uptc show tiny.upx | grep ^source
