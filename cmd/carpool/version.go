package main

import (
	"cmp"
	"runtime/debug"
)

// release is the version of a release, set by the linker:
//
//	go build -ldflags "-X main.release=1.2.3"
var release string

// unreleased is the version of everything else.
const unreleased = "0.1.0-dev"

// version is the program's name and version, the first line of --version and
// what the console's SHOW VERSION says.
func version() string {
	number := release
	if build, ok := debug.ReadBuildInfo(); ok && number == "" && build.Main.Version != "(devel)" {
		number = build.Main.Version
	}
	return "carpool " + cmp.Or(number, unreleased)
}
