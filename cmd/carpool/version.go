package main

import (
	"cmp"
	"runtime/debug"
	"strings"
)

// release is the version of a release, set by the linker:
//
//	go build -ldflags "-X main.release=1.2.3"
var release string

// commit is what the program was made of, set by the linker as well; empty if nobody said so.
var commit string

// unreleased is the version of everything else.
const unreleased = "0.1.0-dev"

// version is the program's name and version, the first line of --version and
// what the console's SHOW VERSION says.
func version() string {
	module := ""
	if build, ok := debug.ReadBuildInfo(); ok {
		module = build.Main.Version
	}
	return "carpool " + cmp.Or(release, tagged(module), unreleased)
}

// tagged is the version that a module was tagged with, for a program that was
// made by `go install`. It is "" for "(devel)", and for the version that Go
// makes up of a commit and its time.
func tagged(module string) string {
	number, ok := strings.CutPrefix(module, "v")
	if !ok || strings.ContainsAny(number, "-+") {
		return ""
	}
	return number
}
