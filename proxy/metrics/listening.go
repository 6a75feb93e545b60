package metrics

import (
	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
)

// listenMetrics are those of the connections that listen for clients, of which
// a pool has none until one of its clients does.
var listenMetrics = [...]metric[proxy.ListenStat]{
	gauge("carpool_listen_clients", "Clients that listen by the pool's shared connection.", poolLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Listeners) }),
	gauge("carpool_listen_channels", "Channels on which it listens for them.", poolLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Channels) }),
	gauge("carpool_listen_connected", "Whether the shared connection is open. Without it, and with clients that listen, these hear nothing.", poolLabels,
		func(l *proxy.ListenStat) float64 { return truth(l.Connected) }),
	counter("carpool_listen_deliveries_total", "Notifications, once for every client that got one by the shared connection.", poolLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Delivered) }),
	counter("carpool_listen_gaps_total", "Times that the shared connection was lost while clients listened, who were told.", poolLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Gaps) }),
}

func collectListening(out chan<- prometheus.Metric, list []proxy.ListenStat) {
	for i := range list {
		for j := range listenMetrics {
			m := &listenMetrics[j]
			send(out, m.desc, m.kind, m.value(&list[i]), label(list[i].Database), label(list[i].User))
		}
	}
}
