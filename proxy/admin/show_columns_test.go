package admin

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// Columns and types are what dashboards and exporters rely on. The types are
// written as PgBouncer's source writes them: s text, i int4, q int8, N numeric.
func TestColumns(t *testing.T) {
	const (
		socket = "type user database replication state addr port local_addr local_port connect_time request_time " +
			"wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id"
		socketTypes = "ssssssisissiiississii"
		counts      = "server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time "
	)
	stats := ""
	for _, part := range []string{"total_", "avg_"} {
		for _, name := range []string{
			"server_assignment_count", "xact_count", "query_count", "received", "sent", "xact_time", "query_time", "wait_time",
			"client_parse_count", "server_parse_count", "bind_count", "client_login_count",
		} {
			if name == "received" && part == "avg_" {
				name = "recv"
			}
			stats += " " + part + name
		}
	}
	wanted := map[string][2]string{
		"clients":        {socketTypes, socket},
		"servers":        {socketTypes, socket},
		"sockets":        {socketTypes + "iiiiiii", socket + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail"},
		"active_sockets": {socketTypes + "iiiiiii", socket + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail"},
		"pools": {"ssiiiiiiiiiiiiiss", `database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel
			sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts`},
		"peer_pools": {"iiiii", "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login"},
		"databases": {"ssissiiiissiiiiii", `name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode
			load_balance_hosts max_connections current_connections max_client_connections current_client_connections paused disabled`},
		"users": {"ssssiiii", `name pool_size reserve_pool_size pool_mode max_user_connections current_connections
			max_user_client_connections current_client_connections`},
		"peers":        {"isii", "peer_id host port pool_size"},
		"stats":        {"s" + strings.Repeat("N", 24), "database" + stats},
		"stats_totals": {"s" + strings.Repeat("N", 12), "database " + counts + "client_parse_count server_parse_count bind_count client_login_count"},
		"stats_averages": {"s" + strings.Repeat("N", 12), "database " + counts +
			"avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count"},
		"totals":    {"sN", "name value"},
		"lists":     {"si", "list items"},
		"config":    {"ssss", "key value default changeable"},
		"mem":       {"siiii", "name size used free memtotal"},
		"state":     {"ss", "key value"},
		"dns_hosts": {"sqs", "hostname ttl addrs"},
		"dns_zones": {"sqi", "zonename serial count"},
		"version":   {"s", "version"},
		"all":       {"sss", "name setting description"},
		"pins":      {"ssssiiss", "client database user application_name remote_pid seconds kinds statement"},
		"hazards":   {"ssssqss", "kind database user application_name times statement advice"},
		"latency": {"ss" + strings.Repeat("q", 20), `database user waits wait_p50 wait_p90 wait_p99 wait_p999 queries query_p50 query_p90 query_p99 query_p999
			xacts xact_p50 xact_p90 xact_p99 xact_p999 logins login_p50 login_p90 login_p99 login_p999`},
		"lookups": {"ssiiiii", "database auth_user waiting asking answers sv_open sv_idle"},
		"waits":   {"isssssiisi", "id client database user application_name since wait wait_us waits_for limit"},
	}
	numbers := map[byte]columnType{'s': typeText, 'i': typeInt4, 'q': typeInt8, 'N': typeNumeric}
	s := New(newProxy(t, nil), "carpool 1.2").Open("stats", false, slog.New(slog.DiscardHandler))
	for i := range shows {
		verb := shows[i].name
		want, ok := wanted[verb]
		if !ok {
			t.Errorf("SHOW %s isn't looked at by this test", verb)
			continue
		}
		var list []string
		for i, name := range strings.Fields(want[1]) {
			list = append(list, fmt.Sprintf("%s:%d", name, numbers[want[0][i]]))
		}
		r := ask(t, s, "SHOW "+verb)
		if got, want := strings.Join(r.columns, " "), strings.Join(list, " "); got != want {
			t.Errorf("SHOW %s:\ngot  %s\nwant %s", verb, got, want)
		}
		empty := strings.Contains(" clients servers sockets active_sockets users peers peer_pools dns_hosts dns_zones pins hazards waits latency lookups ", " "+verb+" ")
		if r.tag != "SHOW" || (len(r.rows) == 0) != empty {
			t.Errorf("SHOW %s: tag %q, %d rows", verb, r.tag, len(r.rows))
		}
		for _, cells := range r.rows {
			if len(cells) != len(r.columns) {
				t.Errorf("SHOW %s: %d columns and a row of %d", verb, len(r.columns), len(cells))
			}
		}
	}
}
