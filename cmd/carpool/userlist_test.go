package main

import (
	"errors"
	"strings"
	"testing"

	"carpool/config"
)

func TestUserList(t *testing.T) {
	scram := "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "="
	text := "; the users\n\"ann\" \"her \"\"secret\"\"; really\" # ann\r\n\n\t\"bob\"\t\"" + scram + "\"\n# \"eve\" \"x\"\n\"carl\" \"\""
	users, problems := (&program{environ: []string{"CARPOOL_USERLIST=" + text}}).readUserList()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := map[string]string{"ann": `her "secret"; really`, "bob": scram, "carl": ""}
	for user, secret := range want {
		if got, ok := users[user]; !ok || got != secret {
			t.Errorf("the secret of %s is %q", user, got)
		}
	}
	if len(users) != len(want) {
		t.Errorf("%d users, want %d", len(users), len(want))
	}
	_, problems = (&program{environ: []string{"CARPOOL_USERLIST=\"ann\" \"fine\"\nbob hunter2\n"}}).readUserList()
	if len(problems) == 0 || !strings.Contains(problems.Error(), "CARPOOL_USERLIST:2: ") || strings.Contains(problems.Error(), "hunter2") {
		t.Errorf("a broken list: %v", problems)
	}
}

// What is likely a mistake isn't overlooked.
func TestUserListThatWontDo(t *testing.T) {
	for text, want := range map[string][]string{
		`"ann" "hunter2"\n"bob" "hunter3"`:             {"CARPOOL_USERLIST:1: there is more than a user and a secret"},
		`"ann" "hunter2" "bob" "hunter3"`:              {"CARPOOL_USERLIST:1: there is more than a user and a secret"},
		"# users\n\"ann\" \"hunter2\" junk\n":          {"CARPOOL_USERLIST:2: there is more than a user and a secret"},
		"\"ann\" \"hunter2\"\n\n\"ann\" \"hunter3\"\n": {`CARPOOL_USERLIST:3: the user "ann" is there for the second time`},
		"\"ann\" \"hunter2\" x\n\"ann\" \"hunter2\"\n": {"CARPOOL_USERLIST:1: ", "CARPOOL_USERLIST:2: "},
	} {
		_, problems := (&program{environ: []string{"CARPOOL_USERLIST=" + text}}).readUserList()
		if len(problems) != len(want) || strings.Contains(problems.Error(), "hunter") {
			t.Errorf("%q: %v", text, problems)
			continue
		}
		for i, problem := range problems {
			if !strings.Contains(problem.String(), want[i]) {
				t.Errorf("%q: %v", text, problem)
			}
		}
	}
}

// What the environment alone amounts to: which databases, and who may log in.
func TestConfiguredByTheEnvironment(t *testing.T) {
	const orders, billing = "ORDERS_URL=postgres://app:one@db1/orders", "BILLING_URL=postgres://bill:two@db2:5433/billing"
	for _, row := range []struct {
		name      string
		environ   []string
		databases string // names
		users     string // name=secret
		auth      config.AuthType
	}{
		{"one URL", []string{orders, "CARPOOL_URLS=ORDERS_URL"}, "*", "app=one", config.AuthSCRAMSHA256},
		{"two", []string{orders, billing, "CARPOOL_URLS=ORDERS_URL BILLING_URL", "DATABASE_URL=nonsense"}, "orders billing", "app=one bill=two", config.AuthSCRAMSHA256},
		{"the same variable twice", []string{orders, "CARPOOL_URLS=ORDERS_URL ORDERS_URL"}, "*", "app=one", config.AuthSCRAMSHA256},
		{"the same name twice", []string{orders, "B=postgres://b:b@db2/orders", "CARPOOL_URLS=ORDERS_URL B"}, "orders orders_2", "app=one b=b", config.AuthSCRAMSHA256},
		{"users besides", []string{orders, billing, "CARPOOL_URLS=ORDERS_URL BILLING_URL", `CARPOOL_USERLIST="ann" "three"`}, "orders billing", "ann=three app=one bill=two", config.AuthSCRAMSHA256},
		{"a user of the list", []string{orders, "B=postgres://app:b@db2/b", "CARPOOL_URLS=ORDERS_URL B", `CARPOOL_USERLIST="app" "three"`}, "orders b", "app=three", config.AuthSCRAMSHA256},
		{"md5", []string{orders, `CARPOOL_USERLIST="ann" "md5"`, "CARPOOL_URLS=ORDERS_URL", "CARPOOL_AUTH_TYPE=md5"}, "*", "ann=md5 app=one", config.AuthMD5},
		{"no password in the URL", []string{"DATABASE_URL=postgres://app@db1/orders", `CARPOOL_USERLIST="ann" "three"`}, "*", "ann=three", config.AuthSCRAMSHA256},
		{"no password in two URLs", []string{"A=postgres://app@db1/a", "B=postgres://app@db2/b", "CARPOOL_URLS=A B", `CARPOOL_USERLIST="ann" "three"`}, "a b", "ann=three", config.AuthSCRAMSHA256},
		{"nobody but one without a password", []string{"DATABASE_URL=postgres://app@db1/orders"}, "*", "app=", config.AuthTrust},
	} {
		c, err := loaded(t, row.environ)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		var databases []string
		for _, d := range c.Databases {
			databases = append(databases, d.Name)
		}
		if got := strings.Join(databases, " "); got != row.databases {
			t.Errorf("%s: the databases are %s, want %s", row.name, got, row.databases)
		}
		want := strings.Fields(row.users)
		for _, entry := range want {
			user, secret, _ := strings.Cut(entry, "=")
			if got, ok := c.StaticUsers[user]; !ok || got != secret {
				t.Errorf("%s: the secret of %s is %q", row.name, user, got)
			}
		}
		if len(c.StaticUsers) != len(want) || c.AuthType != row.auth {
			t.Errorf("%s: %d users by %s, want %d by %s", row.name, len(c.StaticUsers), c.AuthType, len(want), row.auth)
		}
		if text := c.Redacted(); strings.Contains(text, "three") || strings.Contains(text, "password=two") {
			t.Errorf("%s: a secret is in\n%s", row.name, text)
		}
	}
}

func TestEnvironmentThatWontDo(t *testing.T) {
	const orders = "ORDERS_URL=postgres://app:hunter2@db1/orders"
	for _, row := range []struct {
		name, want string
		environ    []string
		args       []string
	}{
		{"a variable that isn't set", "CARPOOL_URLS: the environment variable BILLING_URL isn't set", []string{orders, "CARPOOL_URLS=ORDERS_URL BILLING_URL"}, nil},
		{"a URL for a name", "CARPOOL_URLS: wants the name of an environment variable", []string{"CARPOOL_URLS=postgres://app:hunter2@db1/orders"}, nil},
		{"a URL for a name on the command line", "--url: wants the name", nil, []string{"--url", "postgres://app:hunter2@db1/orders"}},
		{"not a URL", "B: expected postgres://", []string{orders, "B=mysql://x:hunter2@y/z", "CARPOOL_URLS=ORDERS_URL B"}, nil},
		{"two passwords of a user", `B: has another password for the user "app"`, []string{orders, "B=postgres://app:hunter22@db2/b", "CARPOOL_URLS=ORDERS_URL B"}, nil},
		{"no password and no list", "B: has no password that clients could log in with", []string{orders, "B=postgres://app@db2/b", "CARPOOL_URLS=ORDERS_URL B"}, nil},
		{"no port", "--listen env:PORT: the environment variable isn't set", []string{"DATABASE_URL=postgres://app:hunter2@db1/orders"}, []string{"--listen", "env:PORT"}},
		{"a strange port", "--listen env:PORT: the environment variable holds no port", []string{"DATABASE_URL=postgres://app:hunter2@db1/orders", "PORT=0"}, []string{"--listen", "env:PORT"}},
		{"everywhere without a password", "the database URL has no password", []string{"DATABASE_URL=postgres://app@db1/orders", "PORT=5000"}, []string{"--listen", "env:PORT"}},
	} {
		_, err := loaded(t, row.environ, row.args...)
		problems, ok := errors.AsType[config.Problems](err)
		if !ok || len(problems) != 1 || !strings.Contains(problems[0].String(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in %v", row.name, err)
		}
	}
	_, err := loaded(t, []string{"DATABASE_URL=postgres://app:x@db1/orders", "PORT=5000"}, "--listen", "env:PORT", "--port", "6")
	if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), "both say a port") {
		t.Errorf("two ports: %v", err)
	}
	c, err := loaded(t, []string{"DATABASE_URL=postgres://app:x@db1/orders", "PORT=5000"}, "--listen", "env:PORT")
	if err != nil || c.ListenPort != 5000 || len(c.ListenAddr) != 1 || c.ListenAddr[0] != "*" {
		t.Errorf("--listen env:PORT: %v, %+v", err, c)
	}
}
