package config

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for _, test := range []struct {
		text string
		unit time.Duration
		want time.Duration // -1 is an error
	}{
		{"0", time.Second, 0},
		{"15", time.Second, 15 * time.Second},
		{"1.5", time.Second, 1500 * time.Millisecond},
		{".5", time.Second, 500 * time.Millisecond},
		{"1e3", time.Second, 1000 * time.Second},
		{"30", time.Millisecond, 30 * time.Millisecond},
		{"30s", time.Millisecond, 30 * time.Second},
		{"500ms", time.Second, 500 * time.Millisecond},
		{"500 ms", time.Second, 500 * time.Millisecond},
		{"250us", time.Second, 250 * time.Microsecond},
		{"2min", time.Second, 2 * time.Minute},
		{"2m", time.Second, 2 * time.Minute},
		{"1h", time.Second, time.Hour},
		{"1d", time.Second, 24 * time.Hour},
		{"1m30s", time.Second, 90 * time.Second},
		{"1h0.5s", time.Second, time.Hour + 500*time.Millisecond},
		{"0.0000004", time.Second, 0},
		{"1000000000", time.Second, longestTime},
		{"1000000001", time.Second, -1},
		{"100000d", time.Second, -1},
		{"", time.Second, -1},
		{"s", time.Second, -1},
		{"-1", time.Second, -1},
		{"-1m30s", time.Second, -1},
		{"5 parsecs", time.Second, -1},
		{"5S", time.Second, -1},
		{"nan", time.Second, -1},
		{"inf", time.Second, -1},
		{"infinity", time.Second, -1},
		{"1_0", time.Second, -1},
		{"0x10", time.Second, -1},
		{"0x1p4", time.Second, -1},
		{"1e400", time.Second, -1},
		{"1 2", time.Second, -1},
	} {
		got, err := parseTime(test.text, test.unit)
		if err != nil {
			got = -1
		}
		if got != test.want {
			t.Errorf("%q in %v: got %v (%v), want %v", test.text, test.unit, got, err, test.want)
		}
	}
}

func TestFormatTime(t *testing.T) {
	for _, test := range []struct {
		d, unit time.Duration
		want    string
	}{
		{0, time.Second, "0"},
		{90 * time.Second, time.Second, "90"},
		{1500 * time.Millisecond, time.Second, "1.5"},
		{time.Microsecond, time.Second, "0.000001"},
		{longestTime - time.Microsecond, time.Second, "999999999.999999"},
		{1500 * time.Microsecond, time.Millisecond, "1.5"},
	} {
		got := formatTime(test.d, test.unit)
		if got != test.want {
			t.Errorf("%v: got %s, want %s", test.d, got, test.want)
		}
		if back, err := parseTime(got, test.unit); err != nil || back != test.d {
			t.Errorf("%s is read as %v, %v", got, back, err)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "12": 12, "0x10": 16, "010": 8, "100": 100, "101": -1, "-1": -1, "1.0": -1, "1_0": -1, "": -1, " 1": -1,
		"99999999999999999999": -1, "0b1": 1,
	} {
		got, err := parseInt(text, 0, 100)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("number %q: got %d (%v)", text, got, err)
		}
	}
	for text, want := range map[string]int{
		"4096": 4096, "64kB": 64 << 10, "64 kB": 64 << 10, "1MB": 1 << 20, "1GB": 1 << 30, "2GB": -1, "1TB": -1, "9999999999GB": -1, "kB": -1, "-1kB": -1, "1023": -1,
	} {
		got, err := parseSize(text, 1024, 1<<30)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("size %q: got %d (%v)", text, got, err)
		}
	}
}

func TestParseProtocols(t *testing.T) {
	for text, want := range map[string]string{
		"secure": "secure", "default": "secure", "tlsv1.2,tlsv1.3": "secure", "all": "tlsv1.0,tlsv1.1,tlsv1.2,tlsv1.3", "legacy": "tlsv1.0,tlsv1.1,tlsv1.2,tlsv1.3",
		"TLSv1.3": "tlsv1.3", "all:!tlsv1.0:!tlsv1.1": "secure", "tlsv1.1, tlsv1.2": "tlsv1.1,tlsv1.2",
		"": "", "!all": "", "tlsv1.0,tlsv1.3": "", "sslv3": "", "all,!tlsv1.1": "",
	} {
		p, err := parseProtocols(text)
		if got := p.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}

func TestEnumsRoundTrip(t *testing.T) {
	checkEnum[PoolMode](t, 3)
	checkEnum[AuthType](t, 9)
	checkEnum[SSLMode](t, 6)
	checkEnum[LoadBalanceHosts](t, 2)
	checkEnum[TargetSessionAttrs](t, 6)
	checkEnum[Poller](t, 4)
	checkEnum[LogFormat](t, 2)
	checkEnum[LogTo](t, 2)
	checkEnum[LogLevel](t, 4)
	checkEnum[Policy](t, 4)
	checkEnum[StateKind](t, int(StateKinds))
	if got := PoolMode(9).String(); got != "unknown(9)" {
		t.Errorf("got %s", got)
	}
	if !(SSLDisable < SSLAllow && SSLPrefer < SSLRequire && SSLRequire < SSLVerifyCA && SSLVerifyCA < SSLVerifyFull) {
		t.Error("modes are out of order")
	}
}

func checkEnum[E enumeration](t *testing.T, count int) {
	t.Helper()
	for v := range E(count) {
		if got, err := parseEnum[E](enumText(v)); err != nil || got != v {
			t.Errorf("%T %d: got %v, %v", v, v, got, err)
		}
	}
	if len(E(0).names()) != count {
		t.Errorf("%T has %d names", E(0), len(E(0).names()))
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen_addr", "listen_port", "user", "pool_mode"}
	for name, want := range map[string]string{
		"listen_adr": "listen_addr", "lisen_prot": "listen_port", "usr": "user", "poolmode": "pool_mode", "LISTEN_PORT": "listen_port",
		"xy": "", "": "", "completely_other": "",
	} {
		if got, _ := Nearest(name, known); got != want {
			t.Errorf("%q: got %q", name, got)
		}
	}
	if d := editDistance("kitten", "sitting"); d != 3 {
		t.Errorf("distance %d", d)
	}
}
