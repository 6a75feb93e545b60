#!/bin/sh
# The standard set of `carpool bench`, in under five minutes: its tables go into docs/benchmarks.md, between the two lines that
# say so, its pictures into docs/images. The last table checks the harness against pgbench.
set -eu
cd "$(dirname "$0")/.."

out=build/bench
page=docs/benchmarks.md
images=docs/images
rm -rf "$out"
mkdir -p "$out" "$images"

./carpool bench --private --rounds 5 --duration 1s --out "$out/books" >"$out/books.txt"
./carpool bench --private --workload select1 --strategies direct,pgbench --clients 8 --processes 1 --rounds 8 --duration 1s \
	--sweep none --out "$out/pgbench" >"$out/pgbench.txt"
cat "$out/books.txt" "$out/pgbench.txt"

for picture in calls clients pool latency connections; do
	cp "$out/books/$picture.svg" "$images/bench-$picture.svg"
	cp "$out/books/$picture-dark.svg" "$images/bench-$picture-dark.svg"
done

figure() {
	printf '<picture><source media="(prefers-color-scheme: dark)" srcset="images/bench-%s-dark.svg"><img alt="%s" src="images/bench-%s.svg"></picture>\n\n' \
		"$1" "$2" "$1"
}

{
	echo "<!-- made by make bench: begin -->"
	echo
	figure calls "Calls a second of each strategy"
	figure latency "Latency of each strategy by percentile"
	figure clients "Calls a second by the number of clients"
	figure pool "Calls a second by the size of the pool"
	figure connections "Server connections over time"
	sed 's/^## /### /; s/^### \(Calls\|Conditions\|Warnings\|Advice\)/#### \1/' "$out/books/report.md"
	echo
	echo "### The same calls, made by pgbench"
	echo
	sed -n '/^|/p' "$out/pgbench/report.md" | sed '/^| how a call.*90 %/,$d'
	echo
	echo "<!-- made by make bench: end -->"
} >"$out/section.md"

awk -v section="$out/section.md" '
	/<!-- made by make bench: begin -->/ { while ((getline line < section) > 0) print line; skipping = 1 }
	!skipping { print }
	/<!-- made by make bench: end -->/ { skipping = 0 }
' "$page" >"$out/page.md"
grep -q "made by make bench: end" "$out/page.md" || {
	echo "carpool: $page has lost the lines between which the tables belong." >&2
	exit 1
}
cp "$out/page.md" "$page"
