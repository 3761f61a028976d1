# Command lines: help of every verb, and what is said to each kind of slip.
. "$SOURCE/tests/cli/tiny"
echo "text" >text.txt
touch one.upm one.upx two.upm
mkdir folder.upm folder.upx
for verb in compile run check eval show 'tokenizer encode' 'tokenizer decode' 'tokenizer train' doctor; do
    try uptc $verb --help
done
try uptc --help
uptc --help >a; uptc -h >b; uptc help >c; uptc 2>d
echo "without arguments: $?"
cmp a b && cmp a c && cmp a d && echo "all the same help"
uptc run --help >a; uptc help run >b; uptc run x.upx --steps -h >c
cmp a b && cmp a c && echo "and the same of a verb"
uptc --version | sed 's/[0-9.]\{5,\}/N/'

while read -r arguments; do
    try uptc $arguments
done <<'END'
comple x.upm
train one.upm
Run one.upm
--run one.upm
-v
version
--verison
help rnu
one.upm
./none.upx
compile
compile one.upm two.upm
compile text.txt
compile one
compile one.UPM
compile .upm
compile one.upx
check one.upx
run text.txt
eval last.safetensors
show one.upm
show
tokenizer
tokenizer vocab.txt
tokenizer trian
tokenizer encode
tokenizer train
tokenizer train --from text.txt
tokenizer train --from text.txt -o text.txt
compile one.upm -o one.txt
compile one.upm -o
compile one.upm -o=
compile one.upm -D
compile one.upm -D d
compile one.upm -D =3
compile one.upm --emit=fusd
compile one.upm --emit
compile one.upm --emit=
compile one.upm --EMIT=ir
compile one.upm --precision half
compile one.upm --precision F32
compile one.upm --chek-each
compile one.upm --time=yes
compile one.upm -x
compile one.upm --fit
compile one.upm --fit all
compile one.upm --fit 8
compile one.upm --fit -1G
compile one.upm --fit 2GB
compile one.upm --fit 1.2.3G
compile one.upm --fit 99999999999G
compile one.upm --micro 0
compile one.upm --micro 2.5
run one.upx -D d=3
run one.upx --fit 2G
run one.upx --micro 4
run one.upx --precision f32
run one.upx --keep 0
run one.upx --order turns
run one.upx --order alternat
run one.upx --dir=
run one.upx --step 3
run one.upx --resume
run one.upx --steps
run one.upx --steps many
run one.upx --steps -1
run one.upx --steps 1.5
run one.upx --steps 10kk
run one.upx --steps 99999999999999999999
run one.upx --threads=
eval one.upx --quiet
run one.upx -- --steps
run one.upx --save_every 5
compile none.upm
compile oen.upm
compile folder.upm
compile fodler/one.upm
check none.upm
run none.upm
run none.upx
run tow.upx
run folder.upx
show none.upx
show folder.upx
show none.safetensors
tokenizer encode none.txt
tokenizer encode folder.upm
tokenizer encode tetx.txt
tokenizer encode text.txt
END
mkdir empty && cd empty
try uptc run
try uptc eval
