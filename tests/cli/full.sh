# No room: a disk that is full, one that cannot be written, a folder that is not there. Each is a sentence; nothing that was there
# is lost, and a run goes on once there is room.
. "$SOURCE/tests/cli/mounts"
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm >/dev/null 2>&1
uptc run tiny.upx --dir whole --quiet
mkdir disk
mount -t tmpfs -o size=100k tmpfs disk
mkdir -p disk/run/curves.svg # a page is as long as the library: here it takes no room

echo "=== it fills up in the middle of a run"
try uptc run tiny.upx --dir disk/run | steady
ls disk/run
uptc show disk/run/last.safetensors | grep step
try uptc run tiny.upx --dir disk/run --quiet
ls disk/run
echo "=== no room for the first line"
head -c 1M /dev/zero >disk/filling 2>/dev/null
try uptc run tiny.upx --dir disk/run --quiet
try uptc run tiny.upx --dir disk/other --quiet
UPT_CACHE=disk/cache try uptc eval tiny.upx --dir disk/run | steady
ls disk
echo "=== room again"
rm disk/filling disk/run/step-5.safetensors
mount -o remount,size=1M disk
try uptc run tiny.upx --dir disk/run | steady
cmp whole/last.safetensors disk/run/last.safetensors && echo "the same bytes as if there had always been room"

echo "=== compile"
cp -r tiny.upm corpus disk
cd disk
head -c 2M /dev/zero >filling 2>/dev/null
try uptc compile tiny.upm
rm filling && cp ../vocab.txt . && uptc compile tiny.upm >/dev/null && cp tiny.upx before.upx
head -c 2M /dev/zero >filling 2>/dev/null
try uptc compile tiny.upm -D d=32
cmp tiny.upx before.upx && echo "the old one is whole"
try uptc compile tiny.upm -o there/tiny.upx
ls
rm filling
cd ..

echo "=== read only"
mount -o remount,ro disk
cd disk
try uptc compile tiny.upm
try uptc run tiny.upx --dir run
try uptc run tiny.upx --dir run --steps 30
try uptc run tiny.upx
try uptc eval tiny.upx --dir run | steady
try uptc check tiny.upm
cmp ../whole/last.safetensors run/last.safetensors && echo "the last checkpoint is what it was"
