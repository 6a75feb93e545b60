package metrics

import (
	"testing"

	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestListening(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(listeners(func() []proxy.ListenStat {
		return []proxy.ListenStat{
			{Database: "app", Channels: 1, Listeners: 2, Delivered: 3, Gaps: 4, Connected: true},
			{Database: "\xff", Channels: 5},
		}
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, labels string
		want         float64
	}{
		{"carpool_listen_channels", "database=app", 1},
		{"carpool_listen_clients", "database=app", 2},
		{"carpool_listen_deliveries_total", "database=app", 3},
		{"carpool_listen_gaps_total", "database=app", 4},
		{"carpool_listen_connected", "database=app", 1},
		{"carpool_listen_connected", `database="\xff"`, 0},
		{"carpool_listen_channels", `database="\xff"`, 5},
	} {
		if got := value(t, families, row.name, row.labels); got != row.want {
			t.Errorf("%s{%s} is %v, want %v", row.name, row.labels, got, row.want)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}
