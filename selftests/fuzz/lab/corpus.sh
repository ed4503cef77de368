#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Usage: corpus.sh FOLDER
#
# Print assembler that has the files of a folder as fuzz_corpus[], see ioctl.h.

set -eu

cd "$1"
echo '.section .note.GNU-stack,"",@progbits'
echo '.section .rodata'
count=0
table=
for file in *; do
	[ -f "$file" ] || continue
	echo "input_$count: .incbin \"$PWD/$file\""
	echo "end_$count:"
	table="$table .quad input_$count, end_$count - input_$count;"
	count=$((count + 1))
done
echo '.section .data.rel.ro, "aw"; .balign 8'
echo '.globl fuzz_corpus, fuzz_corpus_size'
echo "fuzz_corpus: $table"
echo "fuzz_corpus_size: .quad $count"
