package proxy

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/wire"
)

// Clients of several users who listen through one connection, which has the
// login of one of them.

// audience is a proxy before a server of its own, and clients of two users.
type audience struct {
	*pooler
	server   *pgserver.Server
	settings string
	users    string // the user list's file
	admin    *talker
}

// audienceServer has two users with passwords, who can be made to fail.
func audienceServer(t *testing.T) *pgserver.Server {
	t.Helper()
	return pgtest.Start(t, pgserver.Options{
		Roles:     []pgserver.Role{{Name: "first", Password: "one"}, {Name: "second", Password: "two"}},
		Databases: []string{"app"},
		HBA:       []string{"host all postgres all trust", "host all all all scram-sha-256"},
	})
}

func startAudience(t *testing.T, server *pgserver.Server) *audience {
	t.Helper()
	a := &audience{server: server, users: filepath.Join(t.TempDir(), "list.txt"), admin: talk(t, server.Address())}
	write(t, a.users, userList("one", "two"))
	a.settings = fmt.Sprintf("pool_mode = transaction\nauth_file = %s\nautodb_idle_timeout = 0.001\nserver_idle_timeout = 0.01\n", a.users)
	a.pooler = startPooler(t, a.databases(server))
	return a
}

// userList is a user list. A user without a secret isn't in it.
func userList(first, second string) string {
	text := "\"postgres\" \"\"\n"
	for _, row := range [][2]string{{"first", first}, {"second", second}} {
		if row[1] != "" {
			text += fmt.Sprintf("%q %q\n", row[0], row[1])
		}
	}
	return text
}

// databases are the settings by which all databases are on a server.
func (a *audience) databases(server *pgserver.Server) string {
	return a.settings + "[databases]\n" + on(server, "*", "")
}

// listener is a client of a user's that listens on news.
func (a *audience) listener(user string) *talker {
	a.t.Helper()
	k := talk(a.t, a.address(), wire.Param{Name: "user", Value: user})
	k.run("listen news")
	a.multiplexed()
	return k
}

// connections are whom the connections that listen are logged in as.
func (a *audience) connections() string {
	a.t.Helper()
	users, err := a.server.Value(context.Background(), "postgres",
		"select coalesce(string_agg(usename, ' '), '') from pg_stat_activity where application_name = '"+hubName+"'")
	if err != nil {
		a.t.Fatal(err)
	}
	return users
}

// hubOf waits until the only hub is connected as the user by now.
func (a *audience) hubOf(user string) {
	a.t.Helper()
	eventually(a.t, "it to listen as "+user, func() bool {
		st := a.ListenStats()
		return len(st) == 1 && st[0].User == user && a.connections() == user
	})
}

// hears checks that clients hear a notification, and nothing else before.
func (a *audience) hears(payload string, list ...*talker) {
	a.t.Helper()
	a.admin.run("notify news, '" + payload + "'")
	for i, k := range list {
		if got := k.hear(1); got != "news:"+payload {
			a.t.Errorf("client %d heard %s, want %s", i, got, payload)
		}
	}
}

// gap waits until clients have been told of one gap, and looks for others.
func (a *audience) gap(list ...*talker) {
	a.t.Helper()
	for _, k := range list {
		k.missed()
	}
	if st := a.ListenStats()[0]; st.Gaps != 1 {
		a.t.Errorf("%d gaps", st.Gaps)
	}
}

func TestUsersOfADatabaseShareAHub(t *testing.T) {
	server := audienceServer(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *audience)
	}{
		{"any number of clients", usersShareAHub},
		{"the user is removed", hubsUserIsRemoved},
		{"another user is removed", anotherUserIsRemoved},
		{"the database is moved", sharedHubMoves},
		{"the user becomes forced", hubsUserIsForced},
		{"pause and reconnect", sharedHubIsPaused},
		{"the user's clients leave", hubsUserLeaves},
		{"the user's password doesn't do any more", hubsUserIsRefused},
		{"the user's transactions are deferred", hubsUserIsDeferred},
		{"the user is dropped", hubsUserIsDropped},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, startAudience(t, server)) })
	}
}

func usersShareAHub(t *testing.T, a *audience) {
	var list []*talker
	for range 5 {
		list = append(list, a.listener("second"), a.listener("first"), a.listener("postgres"))
	}
	a.hubOf("second")
	a.hears("for all", list...)
	list[0].run("notify news, 'from one'")
	for i, k := range list {
		if got := k.hear(1); got != "news:from one" {
			t.Errorf("client %d heard %s", i, got)
		}
	}
	if st := a.ListenStats(); len(st) != 1 || st[0].Listeners != 15 || st[0].Channels != 1 || st[0].Gaps != 0 || st[0].Database != "app" {
		t.Errorf("%+v", st)
	}
	other := talk(t, a.address(), wire.Param{Name: "database", Value: "postgres"})
	other.run("listen news")
	a.multiplexed()
	if st := a.ListenStats(); len(st) != 2 || st[0].Database != "app" || st[1].Database != "postgres" || st[1].User != "postgres" {
		t.Errorf("with another database: %+v", st)
	}
}

// A connection doesn't go on by a login that the configuration has no more.
func hubsUserIsRemoved(t *testing.T, a *audience) {
	list := []*talker{a.listener("first"), a.listener("second"), a.listener("second")}
	a.hubOf("first")
	write(t, a.users, userList("", "two"))
	a.reload(a.databases(a.server))
	a.gap(list...)
	a.hubOf("second")
	a.hears("after", list...)
	write(t, a.users, userList("one", "two"))
	a.reload(a.databases(a.server))
	a.hears("once more", list...)
	if got := a.connections(); got != "second" {
		t.Errorf("listening as %s", got)
	}
}

func anotherUserIsRemoved(t *testing.T, a *audience) {
	list := []*talker{a.listener("first"), a.listener("second")}
	write(t, a.users, userList("one", ""))
	a.reload(a.databases(a.server))
	a.hears("on and on", list...)
	if st := a.ListenStats()[0]; st.Gaps != 0 || st.User != "first" {
		t.Errorf("%+v", st)
	}
}

func sharedHubMoves(t *testing.T, a *audience) {
	list := []*talker{a.listener("postgres"), a.listener("postgres"), a.listener("first")}
	other := pgtest.Start(t, pgserver.Options{Databases: []string{"app"}, Roles: []pgserver.Role{{Name: "first"}}})
	a.reload(a.databases(other))
	a.gap(list...)
	a.admin = talk(t, other.Address())
	a.hears("there", list...)
	if got := a.connections(); got != "" {
		t.Errorf("still listening as %s", got)
	}
}

// Clients of both go over to the route of a user who had none; the one who is in
// a transaction at its end.
func hubsUserIsForced(t *testing.T, a *audience) {
	list := []*talker{a.listener("first"), a.listener("second")}
	list[0].run("begin; select 1")
	a.reload(a.settings + "[databases]\n" + on(a.server, "*", "user=postgres"))
	list[1].missed()
	a.hubOf("postgres")
	list[0].run("commit")
	list[0].missed()
	a.hears("after", list...)
	for i, k := range list {
		if got := k.query("select current_user"); got != "postgres" {
			t.Errorf("client %d is %s", i, got)
		}
	}
	if st := a.ListenStats(); len(st) != 1 || st[0].Gaps != 1 {
		t.Errorf("%+v", st)
	}
}

func sharedHubIsPaused(t *testing.T, a *audience) {
	list := []*talker{a.listener("first"), a.listener("second")}
	if err := a.Hold("app"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection to be closed", func() bool { return a.connections() == "" })
	if err := a.Resume("app"); err != nil {
		t.Fatal(err)
	}
	a.gap(list...)
	a.hears("after", list...)
	if err := a.Reconnect("app"); err != nil {
		t.Fatal(err)
	}
	for _, k := range list {
		k.missed()
	}
	a.hears("again", list...)
	if st := a.ListenStats()[0]; st.Gaps != 2 {
		t.Errorf("%+v", st)
	}
}

// It needn't be noticed that clients come and go.
func hubsUserLeaves(t *testing.T, a *audience) {
	first, second := a.listener("first"), a.listener("second")
	pid := a.hubPID()
	_ = first.conn.Close()
	eventually(t, "the user's servers to be closed", func() bool { return a.poolOf("app", "first").Open == 0 && a.ListenStats()[0].Listeners == 1 })
	for range 3 {
		a.closeIdleRoutes()
		a.hears("on and on", second)
	}
	if !slices.ContainsFunc(a.Pools(), func(v PoolView) bool { return v.User == "first" }) {
		t.Error("the route whose login is in use was closed")
	}
	if a.hubPID() != pid || a.ListenStats()[0].Gaps != 0 {
		t.Errorf("%+v", a.ListenStats())
	}
	_ = second.conn.Close()
	eventually(t, "the routes to be forgotten", func() bool {
		a.closeIdleRoutes()
		return len(a.ListenStats()) == 0
	})
	eventually(t, "the connection to be closed", func() bool { return a.connections() == "" })
}

// One user's trouble isn't the others'.
func hubsUserIsRefused(t *testing.T, a *audience) {
	list := []*talker{a.listener("first"), a.listener("second")}
	a.hubOf("first")
	a.admin.run("alter role first password 'another'", fmt.Sprintf("select pg_terminate_backend(%d)", a.hubPID()))
	a.gap(list...)
	a.hubOf("second")
	a.hears("after", list...)
	if log := a.log.String(); !strings.Contains(log, "another user's") || strings.Contains(log, "'one'") {
		t.Error("the log doesn't say why")
	}
	// Both are refused; the first that isn't any more is taken.
	a.admin.run("alter role second password 'another'", fmt.Sprintf("select pg_terminate_backend(%d)", a.hubPID()))
	eventually(t, "both to have been tried", func() bool { return strings.Count(a.log.String(), "no connection for notifications") > 0 })
	a.admin.run("alter role first password 'one'")
	for _, k := range list {
		k.missed()
	}
	a.hubOf("first")
	a.hears("at last", list...)
	a.admin.run("alter role second password 'two'")
}

// Whoever may set defaults for itself mustn't hold the connection up with them.
func hubsUserIsDeferred(t *testing.T, a *audience) {
	list := []*talker{a.listener("second"), a.listener("first")}
	a.hubOf("second")
	busy := talk(t, a.server.Address())
	busy.run("create table deferring ()", "begin isolation level serializable", "insert into deferring default values")
	a.admin.run(
		"alter role second set default_transaction_isolation to serializable",
		"alter role second set default_transaction_read_only to on",
		"alter role second set default_transaction_deferrable to on",
		fmt.Sprintf("select pg_terminate_backend(%d)", a.hubPID()))
	a.gap(list...)
	a.hubOf("second")
	a.hears("after", list...)
	busy.run("rollback")
	a.admin.run("alter role second reset all")
}

func hubsUserIsDropped(t *testing.T, a *audience) {
	list := []*talker{a.listener("first"), a.listener("second")}
	a.hubOf("first")
	a.admin.run("drop role first", fmt.Sprintf("select pg_terminate_backend(%d)", a.hubPID()))
	a.gap(list...)
	a.hubOf("second")
	a.hears("after", list...)
}

// A client that keeps its server while the hub can't be had goes over to the
// hub when a reload gives it another login.
func TestHubThatAReloadMakesPossible(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{
		Roles: []pgserver.Role{{Name: "narrow"}}, Databases: []string{"app"},
	})
	admin := talk(t, server.Address())
	admin.run("alter role narrow connection limit 1")
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprint("busy ", busy), func(t *testing.T) {
			p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", "user=narrow"))
			k := talk(t, p.address())
			k.run("listen news")
			eventually(t, "the pin to be shown", func() bool { return len(p.Pins()) == 1 })
			if busy {
				k.run("begin; select 1")
			}
			p.reload(listenSettings + "[databases]\n" + on(server, "app", ""))
			if busy {
				k.run("commit")
			}
			p.multiplexed()
			talk(t, server.Address()).run("notify news, 'after'")
			if got := k.hear(1); got != "news:after" {
				t.Errorf("heard %s", got)
			}
			if got := k.query("select current_user"); got != "postgres" {
				t.Errorf("it is %s", got)
			}
		})
	}
}
