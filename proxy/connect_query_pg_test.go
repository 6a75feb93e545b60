package proxy

import (
	"fmt"
	"strings"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
)

// What connect_query sets every client has from the start, whatever others have
// set or reset on the server before, and comes back to by a RESET.
func TestWhatTheConnectQuerySetsStays(t *testing.T) {
	server := pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "app"}}, Databases: []string{"app"}})
	talk(t, server.Address()).run("create role owner", "create role other", "grant owner, other to app")
	const query = `SET statement_timeout TO '55s'; SET TimeZone TO 'Asia/Tokyo'; SET app.tenant TO 'it''s';` +
		`SELECT set_config('search_path', '"a b", public', false); SET ROLE owner; SET LOCAL work_mem TO '7MB'`
	for _, audit := range []string{"off", "suspicious", "always"} {
		t.Run(audit, func(t *testing.T) {
			whatTheConnectQuerySetsStays(t, startPooler(t, fmt.Sprintf("pool_mode = transaction\nauth_type = any\nsession_audit = %s\n[databases]\n"+
				"app = host=%s port=%d user=app pool_size=1 connect_query='%s'\n", audit, server.Host(), server.Port(), strings.ReplaceAll(query, "'", "''"))))
		})
	}
}

func whatTheConnectQuerySetsStays(t *testing.T, p *pooler) {
	const ask = "select concat_ws('|', current_setting('statement_timeout'), current_setting('timezone'), current_setting('app.tenant'), " +
		"current_setting('search_path'), current_user, current_setting('work_mem'))"
	const given = `55s|Asia/Tokyo|it's|"a b", public|owner|4MB`
	for _, tt := range []struct {
		name    string
		startup []string
		do      []string
		want    string
	}{
		{"nothing", nil, nil, given},
		{"SET", nil, []string{"set statement_timeout to '9s'", "set timezone to 'utc'", "set app.tenant to 'me'"}, `9s|UTC|me|"a b", public|owner|4MB`},
		{"SET and RESET", nil, []string{"set statement_timeout to '9s'", "reset statement_timeout", "set timezone to 'utc'", "reset timezone"}, given},
		{"RESET", nil, []string{"reset statement_timeout", "reset search_path", "reset app.tenant", "reset timezone"}, given},
		{"RESET in a transaction", nil, []string{"begin; reset statement_timeout; reset search_path", "commit"}, given},
		{"RESET ALL", nil, []string{"set work_mem to '5MB'", "reset all"}, given},
		{"DISCARD ALL, which resets the role", nil, []string{"set work_mem to '5MB'", "discard all"}, `55s|Asia/Tokyo|it's|"a b", public|app|4MB`},
		{"set_config", nil, []string{"select set_config('statement_timeout', '8s', false)"}, `8s|Asia/Tokyo|it's|"a b", public|owner|4MB`},
		{"SET ROLE", nil, []string{"set role other"}, `55s|Asia/Tokyo|it's|"a b", public|other|4MB`},
		{"SET ROLE NONE", nil, []string{"set role none"}, `55s|Asia/Tokyo|it's|"a b", public|app|4MB`},
		{"RESET ROLE leads to what Postgres gives", nil, []string{"reset role"}, `55s|Asia/Tokyo|it's|"a b", public|app|4MB`},
		{"start-up parameters come before it", []string{"statement_timeout", "3s", "TimeZone", "UTC"}, []string{"set statement_timeout to '9s'", "reset all"}, `3s|UTC|it's|"a b", public|owner|4MB`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := talk(t, p.address(), param(tt.startup...)...), talk(t, p.address())
			if told := b.params["TimeZone"]; told != "Asia/Tokyo" {
				t.Errorf("told %s at the login", told)
			}
			a.run(tt.do...)
			for range 2 {
				if got := b.query(ask); got != given {
					t.Errorf("another client has %s, want %s", got, given)
				}
				if got := a.query(ask); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
			_ = a.conn.Close()
			_ = b.conn.Close()
		})
	}
}
