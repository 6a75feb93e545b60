package metrics

import (
	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
)

// poolLabels are the labels of everything that is counted for each pool.
var poolLabels = []string{"database", "user"}

var (
	poolInfoDesc = prometheus.NewDesc("carpool_pool_info",
		"Always 1; the label says when servers are given back.", []string{"database", "user", "mode"}, nil)
	poolClientsDesc = prometheus.NewDesc("carpool_pool_clients",
		"Clients of the pool: waiting for a server, or active, which is all others.", []string{"database", "user", "state"}, nil)
	poolServersDesc = prometheus.NewDesc("carpool_pool_servers",
		"Server connections of the pool: idle, active for a client, or being opened (login).", []string{"database", "user", "state"}, nil)
	dialFailuresDesc = prometheus.NewDesc("carpool_pool_dial_failures_total",
		"Server connections that couldn't be opened.", []string{"database", "user", "reason"}, nil)
	poolClosedDesc = prometheus.NewDesc("carpool_pool_servers_closed_total",
		"Server connections that were closed.", []string{"database", "user", "reason"}, nil)
)

type view = proxy.PoolView

var poolMetrics = [...]metric[view]{
	gauge("carpool_pool_size", "Server connections that the pool may have; 0 is no limit.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.Size) }),
	gauge("carpool_pool_reserve_size", "Further server connections for when clients wait long.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.ReserveSize) }),
	gauge("carpool_pool_paused", "Whether the pool is paused.", poolLabels,
		func(v *view) float64 { return truth(v.Pool.Paused) }),
	gauge("carpool_pool_longest_wait_seconds", "How long the client at the head of the queue has waited.", poolLabels,
		func(v *view) float64 { return inSeconds(v.Pool.LongestWait) }),

	counter("carpool_pool_logins_total", "Clients that logged in.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Logins) }),
	counter("carpool_pool_transactions_total", "Transactions.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Transactions) }),
	counter("carpool_pool_queries_total", "Queries.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Queries) }),
	counter("carpool_pool_received_bytes_total", "Bytes that clients sent.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Received) }),
	counter("carpool_pool_sent_bytes_total", "Bytes that servers sent.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Sent) }),
	counter("carpool_pool_client_parses_total", "Named prepared statements that clients made.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.ClientParses) }),
	counter("carpool_pool_server_parses_total", "Prepared statements that were made on servers.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.ServerParses) }),
	counter("carpool_pool_binds_total", "Prepared statements that were bound.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Binds) }),

	counter("carpool_pool_statement_hits_total", "Uses of prepared statements that the server had.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.StatementHits) }),
	counter("carpool_pool_statement_misses_total", "Uses of prepared statements that the server had to be given first.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.StatementMisses) }),
	counter("carpool_pool_statement_evictions_total", "Prepared statements that were closed on a server to make room for others.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.StatementEvictions) }),

	counter("carpool_parameter_replays_total", "Times that a server was given the parameters of the client that got it.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Replays) }),
	counter("carpool_audits_total", "Times that a server was asked what a client has left in its session.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Audits) }),
	counter("carpool_pins_total", "Times that a client began to keep its server because of what it has left there.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Pins) }),

	counter("carpool_pool_assignments_total", "Times that a client got a server.", poolLabels,
		func(v *view) float64 { return float64(v.Traffic.Assignments) }),
	counter("carpool_pool_waits_total", "Times that a client had to wait for a server.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.Queued) }),
	counter("carpool_pool_waits_abandoned_total", "Waits that ended because the client left or its time was over.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.Withdrawn) }),
	counter("carpool_pool_waits_failed_total", "Waits that ended with an error.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.Failed) }),
	counter("carpool_pool_waits_refused_total", "Times that a client wasn't even let wait.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.Refused) }),
	counter("carpool_pool_dials_total", "Server connections that were begun to be opened.", poolLabels,
		func(v *view) float64 { return float64(v.Pool.Dials) }),
}
