package drivers

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

var (
	update   = flag.Bool("update", false, "write the table in docs/compatibility.md anew")
	postgres *pgserver.Server
	scratch  string // a directory for what the programs are made into
)

const (
	user     = "app"
	password = "secret"
	// reader is a role that the user may take on.
	reader = "reader"
	// template is the database that those of the cases are copies of.
	template = "shop"
	// patience bounds what this side does in one go: starting a process, a statement as the superuser.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "carpool-drivers-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return pgtest.Main(m, pgserver.Options{
		MaxConnections: 200,
		Roles:          []pgserver.Role{{Name: user, Password: password}, {Name: reader}},
		HBA:            []string{"host all " + user + " 127.0.0.1/32 scram-sha-256"},
	}, func(s *pgserver.Server) { postgres = s })
}

// schema is what the scenario finds in its database.
const schema = `
	GRANT ` + reader + ` TO ` + user + `;
	ALTER SCHEMA public OWNER TO ` + user + `;
	SET SESSION AUTHORIZATION ` + user + `;
	CREATE SCHEMA one; CREATE SCHEMA two;
	CREATE TABLE public.place (name text); INSERT INTO public.place VALUES ('public');
	CREATE TABLE one.place (name text); INSERT INTO one.place VALUES ('one');
	CREATE TABLE two.place (name text); INSERT INTO two.place VALUES ('two');
	CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL); INSERT INTO books VALUES (0, 'first');
	CREATE TABLE shelf (id int PRIMARY KEY, title text NOT NULL); INSERT INTO shelf VALUES (1, 'first');
	CREATE TABLE parcel (id int, title text);
	CREATE TABLE ticket (n int);
`

// makeTemplate makes the database that those of the cases are copies of.
func makeTemplate(t *testing.T) {
	t.Helper()
	execute(t, "", "CREATE DATABASE "+template+" OWNER "+user)
	t.Cleanup(func() { execute(t, "", "DROP DATABASE "+template+" WITH (FORCE)") })
	execute(t, template, schema)
}

// makeDatabase makes a copy of the template that lives as long as the test.
func makeDatabase(t *testing.T, name string) {
	t.Helper()
	execute(t, "", `CREATE DATABASE "`+name+`" TEMPLATE `+template+` OWNER `+user)
	t.Cleanup(func() { execute(t, "", `DROP DATABASE "`+name+`" WITH (FORCE)`) })
}

// execute runs statements as the superuser.
func execute(t *testing.T, database, statements string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := postgres.Exec(ctx, database, statements); err != nil {
		t.Fatal(err)
	}
}

// databaseURL is how the user comes to a database by way of an address.
func databaseURL(address, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: address, Path: "/" + database}
	return u.String()
}
