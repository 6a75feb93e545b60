package auth

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
)

func TestParseSecret(t *testing.T) {
	good := makeSecret("x", 4096)
	tests := []struct {
		in   string
		want SecretKind
	}{
		{"", NoSecret},
		{"sesame", PlainSecret},
		{"md5", PlainSecret},
		{"md5" + strings.Repeat("a", 32), MD5Secret},
		{"md5" + strings.Repeat("A", 32), PlainSecret},
		{"md5" + strings.Repeat("a", 31), PlainSecret},
		{"md5" + strings.Repeat("a", 33), PlainSecret},
		{"md5" + strings.Repeat("g", 32), PlainSecret},
		{"MD5" + strings.Repeat("a", 32), PlainSecret},
		{good, SCRAMSecret},
		{"SCRAM-SHA-256", PlainSecret},
		{"SCRAM-SHA-256$", BadSecret},
		{"scram-sha-256$", PlainSecret},
		{good + "x", BadSecret},
		{good[:len(good)-1], BadSecret},
		{strings.Replace(good, "4096", "0", 1), BadSecret},
		{strings.Replace(good, "4096", "-1", 1), BadSecret},
		{strings.Replace(good, "4096", "", 1), BadSecret},
		{strings.Replace(good, "4096", "1000000", 1), SCRAMSecret},
		{strings.Replace(good, "4096", "1000001", 1), BadSecret},
		{strings.Replace(good, "4096", "2147483647", 1), BadSecret},
		{strings.Replace(good, "4096", "99999999999999999999", 1), BadSecret},
		{"SCRAM-SHA-256$4096:$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "=", BadSecret},
		{"SCRAM-SHA-256$4096:!$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "=", BadSecret},
		{"SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA", BadSecret},
		{strings.Repeat("x", MaxSecret), PlainSecret},
		{strings.Repeat("x", MaxSecret+1), BadSecret},
	}
	for _, tt := range tests {
		s := ParseSecret(tt.in)
		if s.Kind() != tt.want {
			t.Errorf("%.60q is %s, want %s", tt.in, s.Kind(), tt.want)
		}
		want := tt.in
		if tt.want == NoSecret || tt.want == BadSecret {
			want = ""
		}
		if s.Reveal() != want {
			t.Errorf("%.60q reveals %.60q", tt.in, s.Reveal())
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := ParseSecret("sesame")
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T%v"} {
		fmt.Fprintf(&b, verb+" ", s)
		fmt.Fprintf(&b, verb+" ", struct{ Secret Secret }{s})
		fmt.Fprintf(&b, verb+" ", []Secret{s})
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", s)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", s)
	out := strings.ToLower(b.String())
	if strings.Contains(out, "sesame") || strings.Contains(out, "736573616d65") {
		t.Error(out)
	}
}

func TestLoadUsers(t *testing.T) {
	users, err := LoadUsers(strings.NewReader(`
; a comment
# another
"alice" "secret" "ignored" and so on
  "bob"	"md5`+strings.Repeat("0", 32)+`"
"quo""ted" "pass""word"
"empty" ""
"twice" "first"
"twice" "second"
"windows" "line"`+"\r"+`
"tight""""" "x"
"last" "without a newline"`), "userlist")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"alice": "secret", "bob": "md5" + strings.Repeat("0", 32), `quo"ted`: `pass"word`, "empty": "", "twice": "second",
		"windows": "line", `tight""`: "x", "last": "without a newline",
	}
	for name, secret := range want {
		if s, known := users.Lookup(name); !known || s.Reveal() != secret {
			t.Errorf("%s: %t, %q; want %q", name, known, s.Reveal(), secret)
		}
	}
	if users.Len() != len(want) {
		t.Errorf("%d users, want %d", users.Len(), len(want))
	}
	if _, known := users.Lookup("nobody"); known {
		t.Error("nobody is known")
	}
	if _, known := (*Users)(nil).Lookup("alice"); known || (*Users)(nil).Len() != 0 {
		t.Error("a nil list has users")
	}
}

func TestFaultsOfAUserListNameTheLineAndNoSecret(t *testing.T) {
	tests := []struct{ line, want string }{
		{`alice "hunter2"`, "expected a user name in double quotes"},
		{`"alice`, "expected a user name in double quotes"},
		{`"alice"`, "expected a password in double quotes after the user name"},
		{`"alice" hunter2`, "expected a password in double quotes after the user name"},
		{`"alice" "hunter2`, "expected a password in double quotes after the user name"},
		{`"alice" "hunter2""`, "expected a password in double quotes after the user name"},
		{`"" "hunter2"`, "empty user name"},
		{`"` + strings.Repeat("a", 64) + `" "hunter2"`, "user name is longer than 63 bytes"},
		{`"alice" "` + strings.Repeat("hunter2", 10000) + `"`, "password is longer than 65531 bytes"},
		{"\"alice\" \"hunter2\x00\"", "zero byte"},
		{`"alice" "SCRAM-SHA-256$hunter2"`, "malformed SCRAM secret, or more than 1000000 iterations"},
		{`"alice" "` + strings.Repeat("hunter2", 50000) + `"`, "line is longer than 135410 bytes"},
	}
	for _, tt := range tests {
		u, err := LoadUsers(strings.NewReader("; one\n"+tt.line), "userlist.txt")
		if u != nil || err == nil || err.Error() != "userlist.txt:2: "+tt.want {
			t.Errorf("%.40q: %v, want %q", tt.line, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	_, err := LoadUsers(strings.NewReader("x\n\"a\" \"b\"\ny\n"), "f")
	if err == nil || !strings.Contains(err.Error(), "f:1:") || !strings.Contains(err.Error(), "f:3:") {
		t.Errorf("not all faults are told: %v", err)
	}
	_, err = LoadUsers(strings.NewReader(strings.Repeat("x\n", 1000)), "f")
	if err == nil || strings.Count(err.Error(), "\n") >= maxListFault {
		t.Errorf("too many faults are told: %v", err)
	}
}

func TestCheckMode(t *testing.T) {
	for mode, warned := range map[uint32]bool{0o600: false, 0o400: false, 0o440: false, 0o640: false, 0o644: true, 0o602: true, 0o660: true, 0o620: true} {
		if err := CheckMode("f", 0); err != nil {
			t.Error(err)
		}
		if err := CheckMode("f", fs.FileMode(mode)); (err != nil) != warned {
			t.Errorf("%o: %v", mode, err)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add("sesame")
	f.Add("md5" + strings.Repeat("0", 32))
	f.Add(makeSecret("x", 1))
	f.Add("SCRAM-SHA-256$1:$:")
	f.Fuzz(func(t *testing.T, in string) {
		s := ParseSecret(in)
		if s.Kind() == SCRAMSecret && (s.keys.iterations < 1 || s.keys.iterations > MaxIterations || len(s.keys.salt) == 0) {
			t.Errorf("%q: %d iterations, salt %q", in, s.keys.iterations, s.keys.salt)
		}
		if (s.Kind() == NoSecret) != (in == "") {
			t.Errorf("%q is %s", in, s.Kind())
		}
	})
}

func FuzzLoadUsers(f *testing.F) {
	f.Add("\"a\" \"b\"\n; c\n\"d\"\"\" \"\"")
	f.Add("\"a\" \"SCRAM-SHA-256$\"")
	f.Add("\"")
	f.Fuzz(func(t *testing.T, in string) {
		u, err := LoadUsers(strings.NewReader(in), "f")
		if (u == nil) == (err == nil) {
			t.Errorf("%v, %v", u, err)
		}
		// What was read has to mean the same when it is written again.
		if u == nil {
			return
		}
		for name, s := range u.secrets {
			if s.Kind() == BadSecret || name == "" {
				t.Errorf("%q has a %s secret", name, s.Kind())
			}
			quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
			again, err := LoadUsers(strings.NewReader(quote(name)+" "+quote(s.Reveal())), "f")
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			if s1, known := again.Lookup(name); !known || s1.Reveal() != s.Reveal() {
				t.Errorf("%q: %q became %q", name, s.Reveal(), s1.Reveal())
			}
		}
	})
}
