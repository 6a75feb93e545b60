#!/bin/sh
# Runs every fuzz target of every package, one after another, each for FUZZTIME (30s). Stops at the first that finds
# something; the input that did is then in the package's testdata/fuzz, to be kept with the fix.
set -eu

for package in $(go list ./...); do
	for target in $(go test -run '^$' -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$package"
	done
done
