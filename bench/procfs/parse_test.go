package procfs

import (
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const text = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 100 0 0 0 150 75 30 20 20 0 1 0 100 1000 10 18446744073709551615\n"
	got, err := parseStat([]byte(text))
	if want := (stat{parent: 1, own: 2250 * time.Millisecond, reaped: 500 * time.Millisecond}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", ")", "1 (a) S 1 2", strings.Replace(text, "150", "x", 1), strings.Replace(text, " 75 ", " 99999999999999999999 ", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory("Name:\tpostgres\nVmPeak:\t  999 kB\nVmHWM:\t   20 kB\nVmRSS:\t   10 kB\nThreads:\t1\n")
	if want := (Memory{Resident: 10 << 10, Highest: 20 << 10}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "Name: kthreadd\n", "VmRSS: x kB\n", "VmRSS: 9223372036854775807 kB\n"} {
		if _, err := parseMemory(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestValueOf(t *testing.T) {
	const text = "processor\t: 0\nmodel name\t: A: B\nmodel name\t: second\n"
	if got := valueOf(text, "model name"); got != "A: B" {
		t.Errorf("got %q", got)
	}
	if got := valueOf(text, "absent"); got != "" {
		t.Errorf("got %q", got)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (a) S 1 4711 4711 0 -1 4194560 100 0 0 0 150 75 30 20 20"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseStat(text); err != nil && s != (stat{}) {
			t.Errorf("an error together with %+v", s)
		}
	})
}
