package proxy

import (
	"fmt"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// Logins that are given a role (ALTER ROLE ... SET role): giving it up is the
// client's affair alone, however it is done.
func TestTheRoleOfALoginStays(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}}, Databases: []string{"app"}})
	admin := talk(t, server.Address())
	admin.run("create role owner", "create role other", "grant owner, other to app", "alter role app set role to owner",
		"create function public.give_up() returns void language sql as $$select set_config('role', 'none', false)$$")
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = any\nsession_audit = always\n[databases]\n"+
		"app = host=%s port=%d user=app pool_size=1\n", server.Host(), server.Port()))
	for _, tt := range []struct {
		name string
		do   []string
		want string
	}{
		{"nothing", nil, "owner"},
		{"SET ROLE NONE", []string{"set role none"}, "app"},
		{"SET ROLE NONE in the extended protocol", []string{"x:set role none"}, "app"},
		{"SET ROLE NONE in a transaction", []string{"begin; set role none", "commit"}, "app"},
		{"SET ROLE NONE rolled back", []string{"begin; set role none", "rollback"}, "owner"},
		{"SET LOCAL ROLE NONE", []string{"begin; set local role none", "commit"}, "owner"},
		{"set_config", []string{"select set_config('role', 'none', false)"}, "app"},
		{"in a function", []string{"select give_up()"}, "app"},
		{"SET ROLE", []string{"set role other"}, "other"},
		{"RESET ROLE", []string{"set role none", "reset role"}, "owner"},
		{"RESET ROLE behind another", []string{"set role other", "reset role"}, "owner"},
		{"RESET ALL leaves it", []string{"set role none", "reset all"}, "app"},
		{"DISCARD ALL", []string{"discard all"}, "owner"},
		{"DISCARD ALL behind another", []string{"set role other", "discard all", "reset role"}, "owner"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			alone := talk(t, server.Address(), param("user", "app")...)
			a, b := talk(t, p.address()), talk(t, p.address())
			alone.run(tt.do...)
			a.run(tt.do...)
			if direct := alone.query("select current_user"); direct != tt.want {
				t.Fatalf("%s on a direct connection", direct)
			}
			for range 2 {
				if got := b.query("select current_user"); got != "owner" {
					t.Errorf("another client is %s", got)
				}
				if got := a.query("select current_user"); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}
