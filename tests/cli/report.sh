# The page of a run: whole, well formed, without scripts, everything escaped; and what damaged files do to it.
. "$SOURCE/tests/cli/tiny"
make_tiny
uptc run tiny.upm --quiet
sed -i '1s/^/# <script>alert("\&")<\/script>\n/' tiny.upm
try uptc report tiny.upm
ls runs/tiny
page=runs/tiny/report.html
grep -c '<svg' $page
grep -o 'font-weight="bold">[^<]*' $page | sed 's/.*>//'
sed -n '/<h2>/p; /<h3>/p; s/<\/*summary>/&/p' $page | sed 's/<pre>.*//'
grep -c 'script' $page
grep -o '&lt;script&gt;.*' $page
tags() { grep -o "<$1svg" runs/tiny/curves.svg | wc -l; }
[ "$(tags '')" = "$(tags /)" ] && echo "curves.svg closes what it opens"

echo "=== the same out of a .upx, twice the same bytes, in another folder"
cp $page first.html
uptc compile tiny.upm --quiet 2>/dev/null || uptc compile tiny.upm >/dev/null 2>&1
try uptc report tiny.upx
cmp $page first.html && echo "the same page"
cp -r runs/tiny 'a[*]'
printf '\211PNG' >'a[*]/grid.png'
mkdir 'a[*]/folder.png'
try uptc report --dir 'a[*]'
grep -o '<figure>.*' 'a[*]/report.html'

echo "=== metrics.jsonl that is edited, damaged, cut short, gone"
m=runs/tiny/metrics.jsonl
cp $m kept
bad() {
    cat >$m
    try uptc report tiny.upm
}
{ cat kept; printf '{"step":21,"loss":1'; } | bad
{ head -2 kept; echo 'junk'; } | bad
echo '{"loss":1}' | bad
echo '[1]' | bad
echo '{"step":1,"step":2}' | bad
echo '{"step":1,"a<b>&":[1,"x<y>"],"n":null,"big":1e308,"warnings":{"w<":"t>","odd":3}}
{"step":2,"big":-1e308,"warnings":3}' | bad
grep -o 'class="bad".*\|<h3>.*\|>big<.*' $page
: | bad
rm $m
try uptc report tiny.upm
cmp $page first.html >/dev/null || echo "the last page stays"
try uptc report none.upm
