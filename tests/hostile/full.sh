# The file that encoded text is kept in has no room: a sentence, and nothing is left of the run that would be in the way. (Here text
# goes there from the first byte on.)
. "$SOURCE/tests/cli/mounts"
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm >/dev/null 2>&1
mkdir disk
mount -t tmpfs -o size=64k tmpfs disk
export TMPDIR=disk
uptc run tiny.upx --dir roomy --quiet
head -c 1M /dev/zero >disk/filling 2>/dev/null
try uptc run tiny.upx --quiet
ls disk runs/tiny
rm disk/filling
uptc run tiny.upx --quiet
cmp roomy/last.safetensors runs/tiny/last.safetensors && echo "then the same bytes"
