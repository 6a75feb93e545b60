package state

import (
	"strings"
	"testing"
)

func TestAppendClean(t *testing.T) {
	tests := []struct {
		name string
		h    Holdings
		want string // "" for nothing
		ok   bool
	}{
		{"nothing", 0, "", true},
		{"parameters", HoldsParameters, "", true},
		{"a library", HoldsLibraries, "", false},
		{"a connection and more", HoldsConnections | HoldsCursors, "", false},
		{"locks", HoldsAdvisoryLocks, cleanBegin + "SELECT pg_catalog.pg_advisory_unlock_all();", true},
		{"several", HoldsParameters | HoldsTemporary | HoldsCursors | HoldsListens, cleanBegin + "CLOSE ALL;UNLISTEN *;DISCARD TEMP;", true},
		{"statements and sequences", HoldsStatements | HoldsSequences, cleanBegin + "DEALLOCATE ALL;DISCARD SEQUENCES;", true},
		{"the seed", HoldsSeed, cleanBegin + cleanSeed, true},
		{"anything", HoldsAnything, cleanBegin + cleanAll, true},
		{"anything but one", HoldsAnything &^ HoldsSeed, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, ok := AppendClean([]byte("before"), tt.h)
			if got := queryText(t, out); got != tt.want || ok != tt.ok {
				t.Errorf("got %q %t\nwant %q %t", got, ok, tt.want, tt.ok)
			}
		})
	}
	// Each kind that can be cleaned by itself is cleaned with all the others.
	for h := Holdings(1); h < HoldsAnything; h <<= 1 {
		out, ok := AppendClean([]byte("before"), h)
		text := strings.TrimPrefix(queryText(t, out), cleanBegin)
		if !ok || !strings.Contains(cleanAll, text) {
			if h&(HoldsLibraries|HoldsConnections) == 0 {
				t.Errorf("%v: %q %t", h.names(), text, ok)
			}
		}
	}
}
