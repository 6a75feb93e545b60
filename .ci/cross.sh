#!/bin/sh
# Builds the static binary for every system that carpool is for, into a directory that is thrown away: a check only.
# Then looks at the tests, too, on the system that none of this runs on.
set -eu

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for system in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
	CGO_ENABLED=0 GOOS=${system%/*} GOARCH=${system#*/} go build -trimpath -buildvcs=false -o "$out/carpool" ./cmd/carpool
	echo "builds for $system"
done
CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go vet -trimpath -buildvcs=false ./...
echo "vets for darwin/arm64"
