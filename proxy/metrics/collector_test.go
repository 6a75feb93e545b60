package metrics

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy"
	"carpool/proxy/upstream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// gather collects once from what read returns.
func gather(t *testing.T, st proxy.State, pools ...proxy.PoolView) []*dto.MetricFamily {
	t.Helper()
	return gatherAll(t, reading{state: st, pools: readPools(pools), maxClients: 100})
}

func gatherAll(t *testing.T, r reading) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&collector{version: "carpool 1.2", read: func() reading { return r }})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value is the one with the given labels, written a=b,c=d in the order of their names.
func value(t *testing.T, families []*dto.MetricFamily, name, labels string) float64 {
	t.Helper()
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var parts []string
			for _, l := range m.GetLabel() {
				parts = append(parts, l.GetName()+"="+l.GetValue())
			}
			if strings.Join(parts, ",") == labels {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Errorf("no %s{%s}", name, labels)
	return 0
}

// busy is a view in which every number differs.
func busy() proxy.PoolView {
	second := int64(time.Second)
	v := proxy.PoolView{
		Database: "app", User: "bob", Mode: "transaction", Clients: 50,
		Pool: pool.Stats{
			Leased: 4, Idle: 3, Dialing: 2, Open: 9, Waiting: 30, LongestWait: 1500 * time.Millisecond, Size: 20, ReserveSize: 5, Paused: true,
			Queued: 31, Withdrawn: 32, Failed: 33, Refused: 34, Dials: 35,
		},
		Traffic: proxy.Traffic{
			Assignments: 41, Transactions: 42, Queries: 43, Received: 44, Sent: 45, TransactionTime: 46 * second, QueryTime: 47 * second,
			WaitTime: 48 * second, ClientParses: 49, ServerParses: 50, Binds: 51, Logins: 52,
			Replays: 53, Audits: 54, Pins: 55, StatementHits: 56, StatementMisses: 57, StatementEvictions: 58,
		},
	}
	v.DialFailures[upstream.FailureStarting] = 36
	v.Pool.Closed[pool.ReasonLifetime] = 7
	return v
}

func TestValues(t *testing.T) {
	st := proxy.State{
		Poller: "epoll", Loops: 2, Clients: 60, Stopping: true, Accepted: 61, AcceptFailed: 62, GaveWay: 73, Cancels: 63, CancelsUnknown: 64,
		CancelsFailed: 65, Statements: 66, Errors: map[string]int64{"53300": 67}, LoopTimes: []time.Duration{time.Second, 1500 * time.Millisecond},
		ServerErrors: map[string]int64{"23505": 68}, Lookups: proxy.LookupCounts{Found: 69, Unknown: 70, Failed: 71, Remembered: 72},
	}
	families := gather(t, st, busy())
	const of = "database=app,user=bob"
	for _, row := range []struct {
		name, labels string
		want         float64
	}{
		{"carpool_build_info", "poller=epoll,version=carpool 1.2", 1},
		{"carpool_max_clients", "", 100},
		{"carpool_clients", "", 60},
		{"carpool_event_loops", "", 2},
		{"carpool_shutting_down", "", 1},
		{"carpool_prepared_statements", "", 66},
		{"carpool_connections_accepted_total", "", 61},
		{"carpool_accept_failures_total", "", 62},
		{"carpool_logins_displaced_total", "", 73},
		{"carpool_cancel_requests_total", "", 63},
		{"carpool_cancel_requests_unknown_total", "", 64},
		{"carpool_cancel_requests_failed_total", "", 65},
		{"carpool_client_errors_total", "code=53300", 67},
		{"carpool_server_errors_total", "code=23505", 68},
		{"carpool_auth_queries_total", "result=found", 69},
		{"carpool_auth_queries_total", "result=unknown", 70},
		{"carpool_auth_queries_total", "result=failed", 71},
		{"carpool_auth_query_answers_reused_total", "", 72},
		{"carpool_pool_info", "database=app,mode=transaction,user=bob", 1},
		{"carpool_pool_clients", "database=app,state=active,user=bob", 20},
		{"carpool_pool_clients", "database=app,state=waiting,user=bob", 30},
		{"carpool_pool_servers", "database=app,state=active,user=bob", 4},
		{"carpool_pool_servers", "database=app,state=idle,user=bob", 3},
		{"carpool_pool_servers", "database=app,state=login,user=bob", 2},
		{"carpool_pool_servers_closed_total", "database=app,reason=lifetime over,user=bob", 7},
		{"carpool_pool_servers_closed_total", "database=app,reason=broken,user=bob", 0},
		{"carpool_pool_size", of, 20},
		{"carpool_pool_reserve_size", of, 5},
		{"carpool_pool_paused", of, 1},
		{"carpool_pool_longest_wait_seconds", of, 1.5},
		{"carpool_pool_waits_total", of, 31},
		{"carpool_pool_waits_abandoned_total", of, 32},
		{"carpool_pool_waits_failed_total", of, 33},
		{"carpool_pool_waits_refused_total", of, 34},
		{"carpool_pool_dials_total", of, 35},
		{"carpool_pool_dial_failures_total", "database=app,reason=server starting,user=bob", 36},
		{"carpool_pool_dial_failures_total", "database=app,reason=timeout,user=bob", 0},
		{"carpool_event_loop_cpu_seconds_total", "loop=1", 1.5},
		{"carpool_pool_statement_hits_total", of, 56},
		{"carpool_pool_statement_misses_total", of, 57},
		{"carpool_pool_statement_evictions_total", of, 58},
		{"carpool_pool_assignments_total", of, 41},
		{"carpool_pool_transactions_total", of, 42},
		{"carpool_pool_queries_total", of, 43},
		{"carpool_pool_received_bytes_total", of, 44},
		{"carpool_pool_sent_bytes_total", of, 45},
		{"carpool_pool_client_parses_total", of, 49},
		{"carpool_pool_server_parses_total", of, 50},
		{"carpool_pool_binds_total", of, 51},
		{"carpool_pool_logins_total", of, 52},
		{"carpool_parameter_replays_total", of, 53},
		{"carpool_audits_total", of, 54},
		{"carpool_pins_total", of, 55},
	} {
		if got := value(t, families, row.name, row.labels); got != row.want {
			t.Errorf("%s{%s} is %v, want %v", row.name, row.labels, got, row.want)
		}
		families = slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
			return f.GetName() == row.name && len(f.GetMetric()) == 1
		})
	}
	for _, family := range families {
		if len(family.GetMetric()) == 1 && family.GetType() != dto.MetricType_HISTOGRAM {
			t.Errorf("%s isn't looked at by this test", family.GetName())
		}
	}
}

// pinned is what two clients keep, and what they and others once had.
func pinned() reading {
	return reading{
		pins: []proxy.Pin{
			{Database: "app", User: "bob", Application: "a", Kinds: []string{"temporary", "locks"}},
			{Database: "app", User: "bob", Application: "b", Kinds: []string{"locks"}},
		},
		hazards: []proxy.Hazard{
			{Kind: config.StateLocks, Database: "app", User: "bob", Application: "a", Times: 5},
			{Kind: config.StateLocks, Database: "app", User: "bob", Application: "b", Times: 6},
			{Kind: config.StateTemporary, Database: "app", User: "bob", Application: "a", Times: 1},
			{Kind: config.StateListen, Database: "app\xff", User: "eve", Times: 7},
		},
	}
}

// Kinds are counted for each database and user, whatever clients call
// themselves; those of which nothing is left remain, as 0.
func TestSessionState(t *testing.T) {
	families := gatherAll(t, pinned())
	for _, row := range []struct {
		name, labels string
		want         float64
	}{
		{"carpool_pins", "database=app,kind=locks,user=bob", 2},
		{"carpool_pins", "database=app,kind=temporary,user=bob", 1},
		{"carpool_pins", `database="app\xff",kind=listen,user=eve`, 0},
		{"carpool_session_state_total", "database=app,kind=locks,user=bob", 11},
		{"carpool_session_state_total", "database=app,kind=temporary,user=bob", 1},
		{"carpool_session_state_total", `database="app\xff",kind=listen,user=eve`, 7},
	} {
		if got := value(t, families, row.name, row.labels); got != row.want {
			t.Errorf("%s{%s} is %v, want %v", row.name, row.labels, got, row.want)
		}
	}
	for _, family := range families {
		if name := family.GetName(); (name == "carpool_pins" || name == "carpool_session_state_total") && len(family.GetMetric()) != 3 {
			t.Errorf("%s has %d metrics, not 3", name, len(family.GetMetric()))
		}
	}
}

func TestNamesFollowPrometheusRules(t *testing.T) {
	all := pinned()
	all.state, all.pools = proxy.State{Errors: map[string]int64{"53300": 1}, LoopTimes: make([]time.Duration, 1)}, readPools([]proxy.PoolView{busy()})
	families := gatherAll(t, all)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "carpool_") {
			t.Errorf("%s doesn't begin with carpool_", family.GetName())
		}
	}
}

// Names of databases and users come from clients, who may mean harm.
func TestStrangeNames(t *testing.T) {
	odd, line := busy(), busy()
	odd.Database, odd.User = "a\xff\xfe", "\x00"
	line.Database = "x\"\n} 1\n"
	families := gather(t, proxy.State{Errors: map[string]int64{"\xff": 1}}, odd, line)
	if got := value(t, families, "carpool_pool_size", "database=\"a\\xff\\xfe\",user=\x00"); got != 20 {
		t.Error(got)
	}
	if got := value(t, families, "carpool_pool_size", "database=x\"\n} 1\n,user=bob"); got != 20 {
		t.Error(got)
	}
}

// Two counts that are read one after the other may contradict each other.
func TestNoNegativeClients(t *testing.T) {
	v := busy()
	v.Clients = 10
	if got := value(t, gather(t, proxy.State{}, v), "carpool_pool_clients", "database=app,state=active,user=bob"); got != 0 {
		t.Error(got)
	}
}
