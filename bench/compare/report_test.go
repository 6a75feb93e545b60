package compare

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"carpool/bench/worker"
)

func TestParsePgbench(t *testing.T) {
	const good = `pgbench (15.18)
transaction type: <builtin: select only>
number of clients: 32
number of transactions actually processed: 150123
number of failed transactions: 0 (0.000%)
latency average = 1.066 ms
initial connection time = 10.123 ms
tps = 30030.123456 (without initial connection time)
`
	reconnecting := strings.Replace(good, "without initial connection time", "including reconnection times", 1)
	for name, row := range map[string]struct {
		report string
		good   bool
	}{
		"good":         {good, true},
		"reconnecting": {reconnecting, true},
		"failed":       {strings.Replace(good, "failed transactions: 0", "failed transactions: 3", 1), false},
		"aborted":      {"pgbench: error: client 3 aborted in command 1\n" + good, false},
		"none":         {strings.Replace(good, "150123", "0", 1), false},
		"empty":        {"", false},
	} {
		transactions, perSecond, err := parsePgbench(row.report)
		if row.good && (err != nil || transactions != 150123 || perSecond != 30030.123456) || !row.good && err == nil {
			t.Errorf("%s: got %d, %f, %v", name, transactions, perSecond, err)
		}
	}
}

func TestIdleClients(t *testing.T) {
	for _, row := range []struct {
		wanted int
		limit  uint64
		want   int
	}{{1000, 0, 1000}, {1000, 1200, 1000}, {1000, 1199, 999}, {1000, 100, 0}, {1000, 1 << 63, 1000}} {
		if got := idleClients(row.wanted, row.limit); got != row.want {
			t.Errorf("%d with a limit of %d: got %d", row.wanted, row.limit, got)
		}
	}
}

func TestWriteLines(t *testing.T) {
	micro := func(us ...int) (samples []sample) {
		for _, n := range us {
			samples = append(samples, sample{cpu: time.Duration(n) * time.Microsecond, perSecond: float64(n) * 1000})
		}
		return samples
	}
	var out bytes.Buffer
	writeLines(&out, "pgbouncer", []line{{cell: cell{protocol: worker.Extended, clients: 100}, carpool: micro(10, 9, 14), other: micro(20, 18, 20)}})
	want := `
                             pooler's CPU time, us a transaction      transactions a second
                               carpool pgbouncer  ratio    in rounds    carpool pgbouncer  ratio    in rounds
extended, 100 clients             10.0      20.0   0.50    0.50-0.70      10000     20000   0.50    0.50-0.70
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(row.values, func(f float64) float64 { return f }); got != row.want {
			t.Errorf("%v: got %v, want %v", row.values, got, row.want)
		}
	}
}
