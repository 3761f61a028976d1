# Where compiled kernels are kept: filled by two processes at once, found again, made again when damaged, cut short or of
# another version, done without where no folder is to be had, and the same bits however a kernel came about.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc compile tiny.upm 2>/dev/null
run() { uptc run tiny.upx --dir "$1" --steps 6 --time >"$1.log" 2>&1 || cat "$1.log"; }
kernels() { sed -n 's/^kernels .* structures: \([0-9]*\) from the cache, \([0-9]*\) compiled.*/\1 \2/p' "$1.log"; }
# says FOUND COMPILED NAME: both as "all", "none" or a number
says() { kernels "$1" | sed "s/\b$all\b/all/g; s/\b0\b/none/g; s/^/$1: found /; s/ \([a-z0-9]*\)$/, compiled \1/"; }
objects() { ls "$1" | grep -c '^[0-9a-f]\{32\}\.o$'; }
same() { cmp first/last.safetensors "$1/last.safetensors"; }

export UPT_CACHE=$PWD/kept
run first
all=$(kernels first | cut -d' ' -f2)
says first
[ "$(objects kept)" = "$all" ] && ls kept | grep -vc '^[0-9a-f]\{32\}\.o$'
stat -c %a kept
run warm; says warm; same warm
sed 's/ *[0-9]*\.[0-9]/ N/; s/[0-9][0-9]*/N/g' warm.log | sed -n '/^stage/,/^all/p' | sed 's/threads*$/THREADS/'

echo "=== two at once"
export UPT_CACHE=$PWD/shared
for round in 1 2 3; do
    rm -rf shared both1 both2
    run both1 & run both2 & wait
    same both1 && same both2 && diff -r kept shared && echo "whole"
done

echo "=== one thread or two"
export UPT_CACHE=$PWD/single
core=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)
taskset -c "$core" uptc run tiny.upx --dir single1 --steps 6 --time 2>&1 | grep -c "1 thread$"
diff -r kept single && same single1 && echo "the same objects and bits"

echo "=== damaged"
damage() { for f in kept/*.o; do "$@" "$f"; done; }
write_middle() { printf damaged | dd of="$1" bs=1 seek=300 conv=notrunc 2>/dev/null; }
write_size() { printf '\377\377\377\377\377\377\377\377' | dd of="$1" bs=1 seek=24 conv=notrunc 2>/dev/null; }
other_version() { printf 'uptobj9' | dd of="$1" bs=1 conv=notrunc 2>/dev/null; }
export UPT_CACHE=$PWD/kept
damage write_middle; run middle; says middle; same middle
damage truncate -s 100; run cut; says cut; same cut
damage truncate -s 0; run void; says void; same void
damage write_size; run size; says size; same size
damage other_version; run version; says version; same version
run mended; says mended; same mended
swap=$(ls kept/*.o | tail -1)
damage cp "$swap" 2>/dev/null
run mixed; says mixed | sed "s/found 1, compiled $((all - 1))/found only its own/"; same mixed
rm kept/*.o && mkdir "$swap"
run folder; kernels folder | sed "s/^0 $all$/compiled all/"; same folder

echo "=== nowhere"
UPT_CACHE= run without; grep -c note without.log; says without; same without
without() { uptc run tiny.upx --dir "$1" --steps 6 2>&1 >/dev/null | steady; same "$1"; }
touch file && UPT_CACHE=file without r1
UPT_CACHE=file/below without r2
mkdir open && chmod 777 open && UPT_CACHE=open without r3; ls open
UPT_CACHE=/proc without r4 | sed 's,: cannot write ./proc/.*,: PROC,; s,: ./proc. belongs to another user,: PROC,'
UPT_CACHE=file/below uptc run tiny.upx --dir r5 --steps 6 --quiet
env -u UPT_CACHE -u XDG_CACHE_HOME -u HOME uptc run tiny.upx --dir r6 --steps 6 2>&1 >/dev/null | steady
env -u UPT_CACHE -u XDG_CACHE_HOME HOME="$PWD" uptc run tiny.upx --dir r7 --steps 6 --quiet; objects .cache/upt | sed "s/^$all$/all/"
