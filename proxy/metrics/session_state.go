package metrics

import (
	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
)

// kindLabels are those of what is counted for each kind of session state.
var kindLabels = []string{"database", "user", "kind"}

var (
	pinsDesc = prometheus.NewDesc("carpool_pins",
		"Clients that keep a server because of such session state. Who has left several kinds counts for each.", kindLabels, nil)
	sessionStateDesc = prometheus.NewDesc("carpool_session_state_total",
		"Times that a client left such state in a session, so that it had to keep the server.", kindLabels, nil)
)

// ofKind is what is told apart, which application names aren't: anybody may
// make up any number of them.
type ofKind struct{ database, user, kind string }

// collectSessionState tells who keeps servers, and what clients have left.
func collectSessionState(out chan<- prometheus.Metric, pins []proxy.Pin, hazards []proxy.Hazard) {
	pinned := make(map[ofKind]int64)
	for i := range pins {
		for _, kind := range pins[i].Kinds {
			pinned[ofKind{pins[i].Database, pins[i].User, kind}]++
		}
	}
	left := make(map[ofKind]int64)
	for i := range hazards {
		h := &hazards[i]
		k := ofKind{h.Database, h.User, h.Kind.String()}
		left[k] += h.Times
		pinned[k] += 0 // what was once there is 0 afterwards, and not gone
	}
	for k, n := range pinned {
		send(out, pinsDesc, prometheus.GaugeValue, float64(n), label(k.database), label(k.user), k.kind)
	}
	for k, n := range left {
		send(out, sessionStateDesc, prometheus.CounterValue, float64(n), label(k.database), label(k.user), k.kind)
	}
}
