package metrics

import (
	"strconv"
	"time"
	"unicode/utf8"

	"carpool/pool"
	"carpool/proxy"
	"carpool/proxy/upstream"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads a proxy at each scrape. It implements prometheus.Collector.
type collector struct {
	version string
	read    func() reading
}

// reading is all that a scrape reads of a proxy.
type reading struct {
	state      proxy.State
	pools      []poolReading
	pins       []proxy.Pin
	hazards    []proxy.Hazard
	maxClients int
}

func newCollector(p *proxy.Proxy, version string) *collector {
	return &collector{version: version, read: func() reading {
		return reading{p.State(), readPools(p.Pools()), p.Pins(), p.Hazards(), p.Config().MaxClientConn}
	}}
}

// metric is one family: what it is and how its value is read.
type metric[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

func gauge[T any](name, help string, labels []string, value func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, value}
}

func counter[T any](name, help string, labels []string, value func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, value}
}

type state = proxy.State

var processMetrics = [...]metric[state]{
	gauge("carpool_clients", "Clients that are logged in, those of the console apart.", nil,
		func(s *state) float64 { return float64(s.Clients) }),
	gauge("carpool_event_loops", "Event loops that serve clients.", nil,
		func(s *state) float64 { return float64(s.Loops) }),
	gauge("carpool_shutting_down", "Whether carpool takes no new clients any more.", nil,
		func(s *state) float64 { return truth(s.Stopping) }),
	gauge("carpool_prepared_statements", "Different prepared statements that clients have at the moment.", nil,
		func(s *state) float64 { return float64(s.Statements) }),
	counter("carpool_connections_accepted_total", "Connections that were accepted, cancel requests included.", nil,
		func(s *state) float64 { return float64(s.Accepted) }),
	counter("carpool_accept_failures_total", "Times that a connection couldn't be accepted.", nil,
		func(s *state) float64 { return float64(s.AcceptFailed) }),
	counter("carpool_logins_displaced_total", "Logins under way that were ended to make room for others (max_client_logins).", nil,
		func(s *state) float64 { return float64(s.GaveWay) }),
	counter("carpool_cancel_requests_total", "Cancel requests for a client that was there.", nil,
		func(s *state) float64 { return float64(s.Cancels) }),
	counter("carpool_cancel_requests_unknown_total", "Cancel requests with a key that is nobody's.", nil,
		func(s *state) float64 { return float64(s.CancelsUnknown) }),
	counter("carpool_auth_query_answers_reused_total", "Times that a login took an answer of auth_query of before.", nil,
		func(s *state) float64 { return float64(s.Lookups.Remembered) }),
	counter("carpool_cancel_requests_failed_total", "Cancel requests that didn't reach the server in time.", nil,
		func(s *state) float64 { return float64(s.CancelsFailed) }),
}

var (
	buildDesc = prometheus.NewDesc("carpool_build_info",
		"Always 1; the labels say what runs.", []string{"version", "poller"}, nil)
	maxClientsDesc = prometheus.NewDesc("carpool_max_clients",
		"Clients that are let in at the same time (max_client_conn).", nil, nil)
	loopTimeDesc = prometheus.NewDesc("carpool_event_loop_cpu_seconds_total",
		"Processor time that an event loop has used: a loop that uses a second of it per second is busy all the time.", []string{"loop"}, nil)
	errorsDesc = prometheus.NewDesc("carpool_client_errors_total",
		"Errors that carpool itself told clients, by SQLSTATE.", []string{"code"}, nil)
	serverErrorsDesc = prometheus.NewDesc("carpool_server_errors_total",
		"Errors that servers sent in conversations, by SQLSTATE, whether clients were told or not.", []string{"code"}, nil)
	lookupsDesc = prometheus.NewDesc("carpool_auth_queries_total",
		"Questions for a user by auth_query, by what came of them.", []string{"result"}, nil)
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- buildDesc
	out <- maxClientsDesc
	out <- errorsDesc
	out <- serverErrorsDesc
	out <- lookupsDesc
	for i := range processMetrics {
		out <- processMetrics[i].desc
	}
	out <- poolInfoDesc
	out <- poolClientsDesc
	out <- poolServersDesc
	out <- poolClosedDesc
	out <- dialFailuresDesc
	out <- waitDesc
	out <- queryDesc
	out <- transactionDesc
	out <- loginDesc
	out <- loopTimeDesc
	out <- pinsDesc
	out <- sessionStateDesc
	for i := range poolMetrics {
		out <- poolMetrics[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	r := c.read()
	st := &r.state
	send(out, buildDesc, prometheus.GaugeValue, 1, c.version, st.Poller)
	send(out, maxClientsDesc, prometheus.GaugeValue, float64(r.maxClients))
	for code, n := range st.Errors {
		send(out, errorsDesc, prometheus.CounterValue, float64(n), label(code))
	}
	for code, n := range st.ServerErrors {
		send(out, serverErrorsDesc, prometheus.CounterValue, float64(n), label(code))
	}
	send(out, lookupsDesc, prometheus.CounterValue, float64(st.Lookups.Found), "found")
	send(out, lookupsDesc, prometheus.CounterValue, float64(st.Lookups.Unknown), "unknown")
	send(out, lookupsDesc, prometheus.CounterValue, float64(st.Lookups.Failed), "failed")
	for i, used := range st.LoopTimes {
		send(out, loopTimeDesc, prometheus.CounterValue, used.Seconds(), strconv.Itoa(i))
	}
	for i := range processMetrics {
		m := &processMetrics[i]
		send(out, m.desc, m.kind, m.value(st))
	}
	for i := range r.pools {
		collectPool(out, &r.pools[i])
	}
	collectSessionState(out, r.pins, r.hazards)
}

func collectPool(out chan<- prometheus.Metric, r *poolReading) {
	v := &r.PoolView
	database, user := label(v.Database), label(v.User)
	if v.Mode != "" {
		send(out, poolInfoDesc, prometheus.GaugeValue, 1, database, user, v.Mode)
	}
	waiting := float64(v.Pool.Waiting)
	send(out, poolClientsDesc, prometheus.GaugeValue, waiting, database, user, "waiting")
	// The two are counted one after the other.
	send(out, poolClientsDesc, prometheus.GaugeValue, max(float64(v.Clients)-waiting, 0), database, user, "active")
	send(out, poolServersDesc, prometheus.GaugeValue, float64(v.Pool.Leased), database, user, "active")
	send(out, poolServersDesc, prometheus.GaugeValue, float64(v.Pool.Idle), database, user, "idle")
	send(out, poolServersDesc, prometheus.GaugeValue, float64(v.Pool.Dialing), database, user, "login")
	for reason, n := range v.Pool.Closed {
		if reason > 0 { // the zero reason means that nothing was closed
			send(out, poolClosedDesc, prometheus.CounterValue, float64(n), database, user, pool.Reason(reason).String())
		}
	}
	for reason, n := range v.DialFailures {
		send(out, dialFailuresDesc, prometheus.CounterValue, float64(n), database, user, upstream.Failure(reason).String())
	}
	for i := range poolMetrics {
		m := &poolMetrics[i]
		send(out, m.desc, m.kind, m.value(v), database, user)
	}
	collectLatency(out, r.latency, database, user)
}

// send passes on one value. Prometheus refuses nothing that is sent here: the
// labels are as many as the description's, and valid UTF-8.
func send(out chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	out <- m
}

// label makes a name that clients chose fit for a label.
func label(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.QuoteToASCII(name)
}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// inSeconds turns what is counted in nanoseconds into Prometheus's unit.
func inSeconds[N int64 | time.Duration](nanos N) float64 { return time.Duration(nanos).Seconds() }
