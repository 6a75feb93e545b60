package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
)

// files is what LoadHBA may read in a test.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	content, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(content), nil
}

func loadHBA(t *testing.T, rules string) *HBA {
	t.Helper()
	maps, err := LoadNameMaps([]byte(testMaps), "ident")
	if err != nil {
		t.Fatal(err)
	}
	h, err := LoadHBA([]byte(rules), "/etc/hba", maps, testFiles.read)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var testFiles = files{
	"/etc/names":  "ann bob,\"Con D\" # comment\n\n@more\n",
	"/etc/more":   "eve",
	"/etc/none":   "# nobody\n",
	"/etc/itself": "@itself",
	"/etc/many":   "@many @many @many",
	"/etc/bad":    "ann\n\"bob\n",
	"/abs":        "ann",
}

const testMaps = `
# who       outside          user
m           root             postgres
m           "a b"            ann
m           "a b"            "all"
m           boss             all
other       root             bob
`

// from is an Origin in shorthand: "unix", "IP" or "IP tls", then user@database,
// with a + behind for physical replication.
func from(how, what string) Origin {
	o := Origin{Unix: how == "unix"}
	if !o.Unix {
		addr, tls, _ := strings.Cut(how, " ")
		o.Addr, o.TLS = netip.MustParseAddr(addr), tls != ""
	}
	what, o.Physical = strings.CutSuffix(what, "+")
	o.User, o.Database, _ = strings.Cut(what, "@")
	return o
}

func TestHBARules(t *testing.T) {
	tests := []struct {
		rules     string
		how, what string
		want      Method
	}{
		{"", "unix", "ann@db", Reject},
		{"local all all trust", "unix", "ann@db", Trust},
		{"local all all trust", "10.0.0.1", "ann@db", Reject},
		{"host all all all trust", "unix", "ann@db", Reject},
		{"host all all all md5", "10.0.0.1", "ann@db", MD5},
		{"host all all all md5", "10.0.0.1 tls", "ann@db", MD5},
		{"host all all all md5", "::1", "ann@db", MD5},
		{"hostssl all all all plain", "10.0.0.1", "ann@db", Reject},
		{"hostssl all all all password", "10.0.0.1 tls", "ann@db", Plain},
		{"hostnossl all all all scram-sha-256", "10.0.0.1", "ann@db", SCRAM},
		{"hostnossl all all all scram-sha-256", "10.0.0.1 tls", "ann@db", Reject},
		{"hostssl all all all cert", "10.0.0.1 tls", "ann@db", Cert},
		{"local all all peer", "unix", "ann@db", Peer},

		{"host all all 10.1.0.0/16 trust", "10.1.255.255", "ann@db", Trust},
		{"host all all 10.1.0.0/16 trust", "10.2.0.0", "ann@db", Reject},
		{"host all all 10.1.0.0/16 trust", "::ffff:10.1.2.3", "ann@db", Trust},
		{"host all all 10.1.2.3/32 trust", "10.1.2.3", "ann@db", Trust},
		{"host all all 10.1.2.3/32 trust", "10.1.2.4", "ann@db", Reject},
		{"host all all 0.0.0.0/0 trust", "10.1.2.4", "ann@db", Trust},
		{"host all all 0.0.0.0/0 trust", "::1", "ann@db", Reject},
		{"host all all ::/0 trust", "10.1.2.4", "ann@db", Reject},
		{"host all all ::1/128 trust", "::1", "ann@db", Trust},
		{"host all all 10.1.0.0 255.255.0.0 trust", "10.1.2.3", "ann@db", Trust},
		{"host all all 10.1.0.0 255.255.0.0 trust", "10.2.2.3", "ann@db", Reject},
		{"host all all 10.1.128.0 255.255.128.0 trust", "10.1.127.3", "ann@db", Reject},
		{"host all all 0.0.0.0 0.0.0.0 trust", "10.2.2.3", "ann@db", Trust},
		{"host all all fe80:: ffff:: trust", "fe80::1", "ann@db", Trust},

		{"local db ann trust", "unix", "ann@db", Trust},
		{"local db ann trust", "unix", "ann@DB", Reject},
		{"local db ann trust", "unix", "bob@db", Reject},
		{"local a,db bob, ann trust", "unix", "ann@db", Trust},
		{"local a ,db bob , ann trust", "unix", "ann@db", Trust},
		{"local sameuser all trust", "unix", "ann@ann", Trust},
		{"local sameuser all trust", "unix", "ann@db", Reject},
		{"local sameuser,db all trust", "unix", "ann@db", Trust},
		{`local "sameuser" all trust`, "unix", "ann@ann", Reject},
		{`local "sameuser" all trust`, "unix", "ann@sameuser", Trust},
		{`local all "all" trust`, "unix", "ann@db", Reject},
		{`local all "all" trust`, "unix", "all@db", Trust},
		{`local all sameuser trust`, "unix", "sameuser@db", Trust},
		{`local all sameuser trust`, "unix", "db@db", Reject},
		{`local all "x ""y"", #z" trust # comment`, "unix", `x "y", #z@db`, Trust},
		{`local all ALL trust`, "unix", "ann@db", Reject},
		{"local all all trust", "unix", "ann@db+", Reject},
		{"local replication all trust", "unix", "ann@db+", Trust},
		{"local replication all trust", "unix", "ann@replication", Reject},
		{`local "replication" all trust`, "unix", "ann@replication", Trust},

		{"local all @names trust", "unix", "ann@db", Trust},
		{"local all @names trust", "unix", "Con D@db", Trust},
		{"local all @names trust", "unix", "eve@db", Trust},
		{"local all @names trust", "unix", "fred@db", Reject},
		{"local all @none trust", "unix", "ann@db", Reject},
		{"local all @/abs,fred trust", "unix", "fred@db", Trust},
		{`local all "@names" trust`, "unix", "@names@db", Reject},

		{"local all ann reject\nlocal all all trust", "unix", "ann@db", Reject},
		{"local all ann reject\nlocal all all trust", "unix", "bob@db", Trust},
		{"\n# x\n  \t\r\nlocal all all trust\r\nlocal all all md5", "unix", "bob@db", Trust},
	}
	for _, tt := range tests {
		if got := loadHBA(t, tt.rules).Rule(from(tt.how, tt.what)); got.Method != tt.want {
			t.Errorf("%q: %s %s: %s, want %s", tt.rules, tt.how, tt.what, got.Method, tt.want)
		}
	}
	if got := (*HBA)(nil).Rule(from("unix", "ann@db")); got.Method != Reject {
		t.Errorf("without rules: %s", got.Method)
	}
}

func TestHBAFaults(t *testing.T) {
	tests := []struct{ rules, want string }{
		{"remote all all trust", "/etc/hba:1: expected local, host"},
		{"\n\nhostgssenc all all all trust", "/etc/hba:3: expected local, host"},
		{`"local" all all trust`, "expected local, host"},
		{"local", "databases: expected a name"},
		{"local all", "users: expected a name"},
		{"local all all", "expected a method"},
		{"local all all pam", `not "pam"`},
		{"local all all any", `not "any"`},
		{"local all all ldap", `not "ldap"`},
		{"local all all 10.0.0.0/8 trust", "expected one of trust"},
		{"local all all trust trust", "unsupported option"},
		{"local all all md5 map=m", "unsupported option"},
		{"local all all peer map=", "unsupported option"},
		{"local all all peer map=m map=other", "unsupported option"},
		{"local all all peer map=unknown", `there is no map "unknown"`},
		{"hostssl all all all scram-sha-256 clientcert=verify-full", "unsupported option"},
		{"host all all all peer", "peer needs local"},
		{"local all all cert", "cert needs hostssl"},
		{"hostnossl all all all cert", "cert needs hostssl"},
		{"host all all trust", "expected all or an IP address"},
		{"host all all", "expected an address"},
		{"host all all localhost trust", "expected all or an IP address"},
		{"host all all samehost trust", "expected all or an IP address"},
		{"host all all .example.org trust", "expected all or an IP address"},
		{"host all all fe80::1%eth0/128 trust", "expected all or an IP address"},
		{"host all all 10.0.0.0/33 trust", "prefix length from 0 to 32"},
		{"host all all 10.0.0.0/-1 trust", "prefix length"},
		{"host all all 10.0.0.0/ trust", "prefix length"},
		{"host all all 10.0.0.0/8/8 trust", "prefix length"},
		{"host all all 10.0.0.1/8 trust", "the network is 10.0.0.0/8"},
		{"host all all 10.0.0.0 trust", "expected a mask"},
		{"host all all 10.0.0.0", "expected a mask"},
		{"host all all 10.0.0.0 255.0.255.0 trust", "isn't a mask"},
		{"host all all 10.0.0.0 253.0.0.0 trust", "isn't a mask"},
		{"host all all 10.0.0.0 ffff:: trust", "expected a mask"},
		{"host all all ::ffff:10.0.0.0/104 trust", "write an IPv4 address as such"},
		{"local samerole all trust", "isn't supported"},
		{"local all +role trust", "isn't supported"},
		{"local /^x all trust", "a regular expression"},
		{"local all @missing trust", "missing"},
		{"local all @itself trust", "too many files"},
		{"local all @many trust", "too many files"},
		{"local all @bad trust", "/etc/bad:2: missing a closing quote"},
		{`local all "ann trust`, "missing a closing quote"},
		{`local all "" trust`, "empty name"},
		{"local ,all all trust", "a comma without a name before it"},
		{"local all,,x all trust", "a comma without a name before it"},
		{"local all all trust,", "a comma without a name behind it"},
		{"local all a\x00b trust", "zero byte"},
		{"local all " + strings.Repeat("x", maxHBALine) + " trust", "line is longer"},
		{strings.Repeat("local all all trust\n", maxRules+1), "more than 5000 rules"},
	}
	maps, err := LoadNameMaps([]byte(testMaps), "ident")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		h, err := LoadHBA([]byte(tt.rules), "/etc/hba", maps, testFiles.read)
		if err == nil || h != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.100q: %v, want %s", tt.rules, err, tt.want)
		}
	}
	_, err = LoadHBA([]byte("x\nlocal all all trust\ny\n"), "hba", nil, testFiles.read)
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "hba:1:") || !strings.Contains(err.Error(), "hba:3:") {
		t.Errorf("not all faults are told: %v", err)
	}
	_, err = LoadHBA([]byte("local all @missing trust"), "hba", nil, testFiles.read)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestNameMaps(t *testing.T) {
	h := loadHBA(t, "local one all peer map=m\nlocal two all peer map=other\nlocal all all peer")
	tests := []struct {
		database, outside, user string
		want                    bool
	}{
		{"one", "root", "postgres", true},
		{"one", "root", "root", false},
		{"one", "root", "bob", false},
		{"one", "a b", "ann", true},
		{"one", "a b", "all", true},
		{"one", "a b", "bob", false},
		{"one", "boss", "anybody", true},
		{"one", "Boss", "anybody", false},
		{"one", "", "", false},
		{"two", "root", "bob", true},
		{"two", "boss", "bob", false},
		{"three", "root", "root", true},
		{"three", "root", "Root", false},
		{"three", "", "", false},
	}
	for _, tt := range tests {
		r := h.Rule(from("unix", tt.user+"@"+tt.database))
		if got := r.Map.Allows(tt.outside, tt.user); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
	for text, want := range map[string]string{
		"m root":                 "ident:1: expected the name of a map",
		"m root a b":             "expected the name of a map",
		"m root a,b":             "expected the name of a map",
		"m , a":                  "unexpected comma",
		"m /^(.*)$ x":            "a regular expression",
		"m x +role":              "isn't supported",
		"include other x":        "",
		"\nm root \"x":           "ident:2: missing a closing quote",
		"m root x # and so on":   "",
		"\"m\" \"/x\" \"+role\"": "",
	} {
		_, err := LoadNameMaps([]byte(text), "ident")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A client is compared with all rules on an event loop.
func TestRulesAreReadWithoutAllocating(t *testing.T) {
	h := loadHBA(t, strings.Repeat("host a,b,c x,y 10.0.0.0/8 md5\n", 1000)+"host all all all trust")
	o := from("::ffff:10.1.2.3", "ann@db")
	if n := testing.AllocsPerRun(100, func() { h.Rule(o) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func FuzzHBA(f *testing.F) {
	f.Add(testMaps, "local all all peer map=m\nhostssl \"a b\",c @names 10.0.0.0/8 cert map=other # x\nhost all all ::1 ffff:: reject", "ann", "db", []byte{127, 0, 0, 1})
	f.Add("", "host all all 1.2.3.4/32 md5", "", "", []byte{})
	f.Fuzz(func(t *testing.T, maps, rules, user, database string, address []byte) {
		m, err := LoadNameMaps([]byte(maps), "ident")
		if (err == nil) != (m != nil) {
			t.Fatalf("maps %v, error %v", m, err)
		}
		h, err := LoadHBA([]byte(rules), "/etc/hba", m, testFiles.read)
		if (err == nil) != (h != nil) {
			t.Fatalf("rules %v, error %v", h, err)
		}
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(line, ":") {
					t.Fatalf("an error without a place: %q", line)
				}
			}
			return
		}
		addr, _ := netip.AddrFromSlice(address)
		for _, tls := range []bool{false, true} {
			o := Origin{Addr: addr, TLS: tls, User: user, Database: database}
			r := h.Rule(o)
			if r.Method.String() == "none" || r.Method == Peer || r.Method == Any {
				t.Fatalf("%+v: %s", o, r.Method)
			}
			r.Map.Allows(user, database)
		}
		// What follows on a rule that is for everybody changes nothing.
		all, err := LoadHBA(fmt.Appendf(nil, "local all all reject\nhost all all all reject\n%s", rules), "/etc/hba", m, testFiles.read)
		if err == nil && all.Rule(Origin{Addr: addr, User: user, Database: database}).Method != Reject {
			t.Fatal("a later rule counts more than the first one that fits")
		}
	})
}
