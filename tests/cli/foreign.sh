# Each entry of frontend/foreign.def, used the way its sort is brought here: a word of a grammar begins a statement, a name is called,
# a method follows a dot. What is said of it, without place and source line.
uses() {
    sed -n 's/^\([A-Z]*\)("\([A-Za-z_0-9]*\)",.*/\1 \2/p' "$SOURCE/frontend/foreign.def"
}
program() {
    case $1 in
    FOREIGN) echo "$2 x" ;;
    ALIEN) echo "const x = $2(1)" ;;
    METHOD) printf '%s\n' 'tokenizer tok = bytes()' 'data text = lines("x") | encode(tok) | pad(4)' "eval on text batch 1 { report x = ids.$2 }" ;;
    esac
}
uses | while read -r sort word; do
    program "$sort" "$word" >use.upm
    echo "$sort $word"
    uptc check use.upm 2>&1 | sed -n 's/^use.upm:[0-9:]* /  /p; s/^ *hint: /  /p'
done
echo "$(uses | wc -l) entries, $(grep -c '^[A-Z]*("' "$SOURCE/frontend/foreign.def") in the table"
