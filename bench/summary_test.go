package bench

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWriteSummary(t *testing.T) {
	pooled := Result{
		Clients: 200, Connected: 200, Elapsed: 5 * time.Second, Transactions: 123_456,
		Latency: Latency{
			Mean: 8050 * time.Microsecond, P50: 7654 * time.Microsecond, P90: 12_345 * time.Microsecond, P99: 23 * time.Millisecond,
			P999: 456 * time.Millisecond, Max: 1234567 * time.Microsecond,
		},
		Peak: Gauges{ServerConnections: 10, Waiting: 190},
	}
	direct := Result{
		Clients: 200, Connected: 97, Elapsed: 5 * time.Second, Transactions: 1000,
		Latency: Latency{Mean: time.Microsecond, P50: 1, P90: time.Microsecond, P99: time.Millisecond, P999: time.Millisecond, Max: time.Millisecond},
		Peak:    Gauges{ServerConnections: 97, Waiting: NotSampled},
		Errors:  map[string]int64{"53300": 103, "connection": 1},
	}
	var out strings.Builder
	err := WriteSummary(&out, Summary{Heading: "5 seconds each", Columns: []Column{
		{Title: "through carpool", Result: pooled},
		{Title: "straight", Result: direct},
		{Title: "else", Failed: errors.New("nobody there")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `5 seconds each

                               through carpool   straight   else
  clients                                  200         97      -
  server connections at peak                10         97      -
  clients waiting at peak                  190          -      -
  transactions                         123,456      1,000      -
  transactions a second                 24,691        200      -
  latency, mean                        8.05 ms    0.00 ms      -
  latency, median                      7.65 ms    0.00 ms      -
  latency, 90 %                        12.3 ms    0.00 ms      -
  latency, 99 %                        23.0 ms    1.00 ms      -
  latency, 99.9 %                       456 ms    1.00 ms      -
  latency, longest                    1,235 ms    1.00 ms      -
  errors                                     0        104      -

straight: only 97 of the 200 clients got and kept a connection.

straight: errors: 103 of SQLSTATE 53300, 1 of connection.

else: no result, nobody there
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
