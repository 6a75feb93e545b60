package metrics

import (
	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
)

// databaseLabels are the labels of what the users of a database share.
var databaseLabels = []string{"database"}

// listenMetrics are those of the connections that listen for clients, of which
// a database has none until one of its clients does. Whose login a connection
// has changes; so that isn't told here.
var listenMetrics = [...]metric[proxy.ListenStat]{
	gauge("carpool_listen_clients", "Clients that listen by the database's shared connection.", databaseLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Listeners) }),
	gauge("carpool_listen_channels", "Channels on which it listens for them.", databaseLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Channels) }),
	gauge("carpool_listen_connected", "Whether the shared connection is open. Without it, and with clients that listen, these hear nothing.", databaseLabels,
		func(l *proxy.ListenStat) float64 { return truth(l.Connected) }),
	counter("carpool_listen_deliveries_total", "Notifications, once for every client that got one by the shared connection.", databaseLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Delivered) }),
	counter("carpool_listen_gaps_total", "Times that the shared connection was lost while clients listened, who were told.", databaseLabels,
		func(l *proxy.ListenStat) float64 { return float64(l.Gaps) }),
}

// listeners reads these connections at each scrape. It implements
// prometheus.Collector.
type listeners func() []proxy.ListenStat

// Describe implements prometheus.Collector.
func (listeners) Describe(out chan<- *prometheus.Desc) {
	for i := range listenMetrics {
		out <- listenMetrics[i].desc
	}
}

// Collect implements prometheus.Collector.
func (read listeners) Collect(out chan<- prometheus.Metric) {
	list := read()
	for i := range list {
		for j := range listenMetrics {
			m := &listenMetrics[j]
			send(out, m.desc, m.kind, m.value(&list[i]), label(list[i].Database))
		}
	}
}
