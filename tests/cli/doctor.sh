# What this machine can do: the table with its figures blanked (advice depends on the machine, so it is left out), the same as
# JSON, the file that keeps them, and what is said where nothing can be kept or written.
. "$SOURCE/tests/cli/tiny"
blank() {
    sed -E '/^    !/d; s/^([0-9]+ things? to look at.*|all is well)$/VERDICT/; /^(processor|vectors|memory) /s/  .*/ .../
            s/^( +1 thread).*/\1/; s/^(.{38})[-0-9. ]{20,}  (.*)$/\1 FIGURES \2/'
}
mkdir own
UPT_CACHE=own uptc doctor | blank
ls own | sed 's/[0-9a-f]\{16\}/KEY/'
UPT_CACHE=own uptc doctor --json >figures
cmp figures own/machine-*.json && echo "kept as they were printed"
sed 's/\(: *\)[-0-9.][-0-9.]*/\1N/; s/^ *[0-9][0-9.]*\(,*\)$/      N\1/; s/"processor": ".*"/"processor": NAME/; s/"huge_pages": ".*"/"huge_pages": MODE/' figures
UPT_CACHE= uptc doctor | grep -A 1 ^cache
touch file
UPT_CACHE=file uptc doctor | grep -A 1 ^cache
mkdir open && chmod 777 open
UPT_CACHE=open uptc doctor | grep -A 1 ^cache
try uptc doctor file.upm
