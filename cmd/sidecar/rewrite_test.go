package sidecar

import (
	"strings"
	"testing"

	"carpool/config"
)

// rewritten is the environment that a command gets for one with DATABASE_URL, and the notes about it, warnings marked with a !.
func rewritten(t *testing.T, environ string, options Options) (Environ, string) {
	t.Helper()
	plan, urls := mustPlan(t, strings.Split(environ, "\n"), options)
	got, notes := plan.Environ(urls, Identities(urls), tcp)
	var b strings.Builder
	for _, note := range notes {
		if note.Warning {
			b.WriteString("! ")
		}
		b.WriteString(note.Text + "\n")
	}
	return got, b.String()
}

// Without --keep-direct no variable has the real password that carpool knows how to take away, and it says so where it doesn't.
func TestTheRealPasswordIsTakenAway(t *testing.T) {
	const pooled = "postgres://u:pw@127.0.0.1:6000/d"
	const url = "DATABASE_URL=postgres://u:hunter2@h:5433/d?sslmode=require\n"
	for _, row := range []struct {
		name    string
		environ string
		options Options
		want    string // variables
		notes   string // a part of them; "" is none
		remains bool   // the password is still there
	}{
		{"PGPASSWORD that was used", "DATABASE_URL=postgres://u@h:5433/d\nPGPASSWORD=hunter2", Options{}, "DATABASE_URL=" + pooled + "\nPGPASSWORD=pw", "", false},
		{"PGPASSWORD that is the same", url + "PGPASSWORD=hunter2", Options{}, "PGPASSWORD=pw", "", false},
		{"another PGPASSWORD", url + "PGPASSWORD=other", Options{}, "PGPASSWORD=other", "", false},
		{
			"PGPASSWORD for another database too", url + "PGPASSWORD=hunter2\nPGHOST=replica",
			Options{},
			"PGPASSWORD=pw\nPGHOST=replica", "! PGPASSWORD is also the password of a URL and is replaced", false,
		},
		{
			"the same, to be kept", url + "PGPASSWORD=hunter2\nPGHOST=replica",
			Options{Keep: []string{"PGPASSWORD"}},
			"PGPASSWORD=hunter2\nPGHOST=replica", "", true,
		},
		{"this machine by another name", "DATABASE_URL=postgres://u:hunter2@127.0.0.1/d\nPGHOST=localhost\nPGPASSWORD=hunter2", Options{}, "PGHOST=127.0.0.1\nPGPORT=6000\nPGPASSWORD=pw", "", false},
		{"a name in capitals", "DATABASE_URL=postgres://u:hunter2@DB.example./d\nPGHOST=db.EXAMPLE", Options{}, "PGHOST=127.0.0.1\nPGPASSWORD=pw", "", false},
		{"the same database with other options", url + "OTHER=postgres://u:hunter2@h:5433/d?sslmode=disable&a=1", Options{}, "OTHER=" + pooled + "?a=1", "OTHER leads to the database of DATABASE_URL", false},
		{"for a driver", url + "SQLALCHEMY_DATABASE_URI=postgresql+psycopg2://u:hunter2@h:5433/d", Options{}, "SQLALCHEMY_DATABASE_URI=postgresql+psycopg2://u:pw@127.0.0.1:6000/d", "SQLALCHEMY_DATABASE_URI leads to", false},
		{"otherwise written", url + "OTHER=postgresql://u:%68unter2@H:5433/%64", Options{}, "OTHER=postgresql://u:pw@127.0.0.1:6000/%64", "OTHER leads to", false},
		{"another database", url + "OTHER=postgres://u:other@h:5433/e", Options{}, "OTHER=postgres://u:other@h:5433/e", "", false},
		{"another port", url + "OTHER=postgres://u:other@h/d", Options{}, "OTHER=postgres://u:other@h/d", "", false},
		{"another role", url + "OTHER=postgres://v:other@h:5433/d", Options{}, "OTHER=postgres://v:other@h:5433/d", "", false},
		{"another role of the same password", url + "OTHER=postgres://v:hunter2@h:5433/d", Options{}, "OTHER=postgres://v:hunter2@h:5433/d", "! OTHER has the password of DATABASE_URL in it", true},
		{"JDBC", url + "JDBC_URL=jdbc:postgresql://h:5433/d?user=u&password=hunter2", Options{}, "JDBC_URL=jdbc:postgresql://h:5433/d?user=u&password=hunter2", "! JDBC_URL has the password of DATABASE_URL in it", true},
		{"in other words", url + "DSN=host=h password=hunter2 dbname=d", Options{}, "", "! DSN has the password", true},
		{"not a word of its own", url + "OTHER=xhunter2 hunter22", Options{}, "", "", true},
		{"known to stay", url + "DSN=password=hunter2", Options{Keep: []string{"DSN"}}, "DSN=password=hunter2", "", true},
		{
			"by its name direct", url + "DIRECT_URL=postgres://u:hunter2@h:5433/d\nX_DIRECT=postgres://u:hunter2@h:5433/d",
			Options{},
			"DIRECT_URL=" + pooled + "\nX_DIRECT=" + pooled, "--keep-direct leaves it as it is, with the real password, and so does --keep DIRECT_URL", false,
		},
		{
			"by its name direct, to be kept", url + "DIRECT_URL=postgres://u:hunter2@h:5433/d?x=1",
			Options{KeepDirect: true},
			"DIRECT_URL=postgres://u:hunter2@h:5433/d?x=1\nDATABASE_URL_DIRECT=postgres://u:hunter2@h:5433/d?sslmode=require", "", true,
		},
		{"one to be kept by the environment", url + "RED_URL=postgres://u:hunter2@h:5433/d\nCARPOOL_KEEP=RED_URL", Options{}, "RED_URL=postgres://u:hunter2@h:5433/d", "", true},
		{"a direct one of the user's own", url + "DATABASE_URL_DIRECT=postgres://u:x@h2/d", Options{KeepDirect: true}, "DATABASE_URL_DIRECT=postgres://u:x@h2/d", "", false},
		{
			"direct and completed", "DATABASE_URL=postgres:///d?a=1\nPGHOST=h\nPGPORT=5433\nPGUSER=u\nPGPASSWORD=hunter2",
			Options{KeepDirect: true},
			"DATABASE_URL=" + pooled + "?a=1\nDATABASE_URL_DIRECT=postgres://u:hunter2@/d?a=1&host=h&port=5433\nPGHOST=127.0.0.1\nPGPASSWORD=pw", "", true,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, notes := rewritten(t, row.environ, row.options)
			for entry := range strings.Lines(row.want) {
				name, value, _ := strings.Cut(strings.TrimSpace(entry), "=")
				if got.Value(name) != value {
					t.Errorf("%s is %s, want %s", name, got.Value(name), value)
				}
			}
			if !strings.Contains(notes, row.notes) || row.notes == "" && notes != "" {
				t.Errorf("notes:\n%s, want %q", notes, row.notes)
			}
			if remains := strings.Contains(strings.Join(got, "\n"), "hunter2"); remains != row.remains {
				t.Errorf("the password is still there: %t\n%s", remains, strings.Join(got, "\n"))
			}
			if strings.Contains(notes, "hunter2") {
				t.Errorf("the password is in the notes:\n%s", notes)
			}
		})
	}
}

// What a service file says isn't known, and mustn't break the way to carpool.
func TestServicesOfLibpq(t *testing.T) {
	const url = "DATABASE_URL=postgres://u:p@h/d\nPGHOST=h\nPGSERVICE=x\n"
	for environ, want := range map[string]string{
		url:                              "postgres://u:pw@127.0.0.1:6000/d?sslmode=disable",
		url + "PGCHANNELBINDING=require": "postgres://u:pw@127.0.0.1:6000/d?sslmode=disable&channel_binding=disable",
	} {
		got, notes := rewritten(t, environ, Options{})
		if got.Value("DATABASE_URL") != want || got.Value("PGSERVICE") != "x" || got.Value("PGHOST") != "h" {
			t.Errorf("%s: %s", environ, strings.Join(got, "\n"))
		}
		if !strings.Contains(notes, "PGSERVICE names another database") {
			t.Errorf("notes:\n%s", notes)
		}
	}
}

// What a URL leaves out is what libpq would take.
func TestURLsThatTheEnvironmentCompletes(t *testing.T) {
	const all = "PGHOST=eh\nPGPORT=6000\nPGUSER=eu\nPGDATABASE=ed\nPGPASSWORD=ep"
	for _, row := range []struct{ url, environ, want string }{
		{"postgres:///postgres", all, "eu:ep@eh:6000/postgres prefer"},
		{"postgres://", all, "eu:ep@eh:6000/ed prefer"},
		{"postgres://u:p@h:1/d", all, "u:p@h:1/d prefer"},
		{"postgres://u:p@h/d", all, "u:p@h:6000/d prefer"},
		{"postgres://u@h,i/d", all, "u:ep@h:5432,i:5432/d prefer"},
		{"postgres://[::1]:7/d", all, "eu:ep@[::1]:7/d prefer"},
		{"postgres://[::1]/d", all, "eu:ep@[::1]:6000/d prefer"},
		{"postgres:///?host=h&port=1&user=u&dbname=d&password=p", all, "u:p@h:1/d prefer"},
		{"postgres://u@h", "PGPASSWORD=p", "u:p@h:5432/u prefer"},
		{"postgres://u@h/d", "PGCHANNELBINDING=require", "u:@h:5432/d require"},
		{"postgres://u@h/d?channel_binding=disable", "PGCHANNELBINDING=require", "u:@h:5432/d disable"},
		{"postgres:///d?user=u", "PGHOST=/run/x y", "u:@[/run/x y]:5432/d prefer"},
	} {
		u, err := ParseURL("V", row.url, strings.Split(row.environ, "\n"))
		if err != nil {
			t.Errorf("%s: %v", row.url, err)
			continue
		}
		got := strings.Replace(u.Place(), "@", ":"+u.Server.Password+"@", 1) + " " + u.Server.ChannelBinding.Or(config.BindingPrefer).String()
		if strings.HasPrefix(u.Server.Hosts[0], "/") {
			got = strings.Replace(got, "@/run/x y:", "@[/run/x y]:", 1)
		}
		if got != row.want {
			t.Errorf("%s: got %s, want %s", row.url, got, row.want)
		}
	}
	if _, err := ParseURL("V", "postgres://u@h/d", Environ{"PGCHANNELBINDING=hunter2"}); err == nil || err.Error() != "PGCHANNELBINDING: expected one of prefer, require, disable" {
		t.Errorf("got %v", err)
	}
}

func TestSameDatabase(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"postgres://u@h/d", "postgres://v@h:5432/d?sslmode=require", true},
		{"postgres://u@localhost/d", "postgres://u@127.0.0.1/d", true},
		{"postgres://u@localhost/d", "postgres://u@[::1]/d", true},
		{"postgres://u@H.example/d", "postgres://u@h.example./d", true},
		{"postgres://u@a:1,b:2/d", "postgres://u@/d?host=a,b&port=1,2", true},
		{"postgres://u@a:1,b:2/d", "postgres://u@a:1/d", false},
		{"postgres://u@h/d", "postgres://u@h/e", false},
		{"postgres://u@h/d", "postgres://u@h:1/d", false},
		{"postgres://u@h/d", "postgres://u@i/d", false},
		{"postgres://u@/d?host=/run/A", "postgres://u@/d?host=/run/a", false},
	} {
		a, err := ParseURL("A", row.a, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseURL("B", row.b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.SameDatabase(b) != row.want || b.SameDatabase(a) != row.want {
			t.Errorf("%s and %s: want %t", row.a, row.b, row.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, row := range []struct {
		options Options
		want    string
	}{
		{Options{}, ""},
		{Options{ListenAddress: "::1"}, ""},
		{Options{UnixDir: "/tmp"}, ""},
		{Options{ListenAddress: "0.0.0.0"}, "carpool listens on 0.0.0.0, which other machines may reach, and takes the password in clear text"},
		{Options{ListenAddress: "*"}, "carpool listens on *, which other machines may reach"},
		{Options{ListenAddress: "0.0.0.0", Set: []string{"client_tls_sslmode=require"}}, ""},
		{Options{Set: []string{"auth_type=trust"}}, "auth_type = trust lets everybody on this machine into the database without a password"},
	} {
		plan, urls := mustPlan(t, Environ{"DATABASE_URL=postgres://u:p@h/d"}, row.options)
		c, err := plan.Config(urls, Identities(urls), Pooler{Password: "pw", Certificate: "/proc/self/fd/9"})
		if err != nil {
			t.Fatalf("%+v: %v", row.options, err)
		}
		notes := Warnings(c)
		switch {
		case row.want == "" && len(notes) > 0:
			t.Errorf("%+v: %s", row.options, notes[0].Text)
		case row.want != "" && (len(notes) != 1 || !notes[0].Warning || !strings.HasPrefix(notes[0].Text, row.want)):
			t.Errorf("%+v: %v, want %s", row.options, notes, row.want)
		}
	}
}

// A setting that is refused as a whole is told by the name that it was given under.
func TestWhoGaveASetting(t *testing.T) {
	plan, urls := mustPlan(t, Environ{"DATABASE_URL=postgres://u:p@h/d"}, Options{UnixDir: "relative"})
	_, err := plan.Config(urls, Identities(urls), Pooler{})
	if err == nil || !strings.HasPrefix(err.Error(), "--unix: unix_socket_dir: ") {
		t.Errorf("got %v", err)
	}
}

func TestParseLimits(t *testing.T) {
	got, err := ParseLimits([]string{"100", "3", "-1", "20"})
	if want := (Limits{Max: 100, Reserved: 3, Role: -1, Database: 20}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, row := range [][]string{nil, {"1", "2", "3"}, {"1", "2", "3", ""}, {"1", "2", "3", "4", "5"}, {"1", "2", "3", "99999999999"}} {
		if got, err := ParseLimits(row); err == nil {
			t.Errorf("%q is %+v", row, got)
		}
	}
}
