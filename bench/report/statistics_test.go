package report

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// rounds makes a round of a second for each rate.
func rounds(rates ...int64) []Round {
	var all []Round
	for _, rate := range rates {
		all = append(all, Round{ElapsedSeconds: 1, Calls: rate, Latency: []Bucket{{1 / float64(max(rate, 1)), float64(rate)}}})
	}
	return all
}

func strategy(name string, rates ...int64) Strategy {
	return Strategy{Name: name, Title: Describe(name).Title, Unsafe: Describe(name).Unsafe, Rounds: rounds(rates...)}
}

func finished(strategies ...Strategy) Report {
	r := Report{Settings: Settings{Workload: "books", Clients: 8, Processes: 4, PoolSize: 4}, Strategies: strategies}
	Finish(&r)
	return r
}

func TestSummary(t *testing.T) {
	three, five := 3, 5
	small, large := int64(10), int64(20)
	cpu := func(seconds float64) *float64 { return &seconds }
	r := finished(strategy("none", 100, 90, 110), Strategy{Name: "carpool", Rounds: []Round{
		{
			ElapsedSeconds: 2, Calls: 4000, Errors: map[string]int64{"53300": 2}, WrongAnswers: 1, ServerConnections: &three,
			PoolerBytes: &large, PoolerCPUSeconds: cpu(0.4), Latency: []Bucket{{0.001, 3600}, {0.010, 400}},
		},
		{
			ElapsedSeconds: 2, Calls: 2000, Errors: map[string]int64{"53300": 1, "timeout": 4}, ServerConnections: &five,
			PoolerBytes: &small, Latency: []Bucket{{0.001, 2000}},
		},
		{ElapsedSeconds: 2, Calls: 6000, MixedTransactions: 2, ProtocolErrors: 3, PoolerCPUSeconds: cpu(1.2)},
	}})
	s := r.Strategies[1].Summary
	if s.CallsPerSecond != (Spread{Median: 2000, Low: 1000, High: 3000}) || s.CallsPerSecond.Width() != 0.5 {
		t.Errorf("calls a second are %+v", s.CallsPerSecond)
	}
	if s.Rounds != 3 || s.Calls != 12000 || s.SecondsPer10000 != 5 || *s.RatioToNone != 20 {
		t.Errorf("rounds %d, calls %d, seconds %v, ratio %v", s.Rounds, s.Calls, s.SecondsPer10000, *s.RatioToNone)
	}
	if s.Errors["53300"] != 3 || s.ErrorCount() != 7 || s.WrongCount() != 6 {
		t.Errorf("errors %v, wrong %d", s.Errors, s.WrongCount())
	}
	if *s.ServerConnections != 5 || *s.PoolerBytes != 20 || s.ClientCPU != nil || math.Abs(*s.PoolerCPU-1.5) > 1e-9 {
		t.Errorf("connections %d, bytes %d, CPU %v and %v", *s.ServerConnections, *s.PoolerBytes, s.ClientCPU, *s.PoolerCPU)
	}
	for _, l := range []struct{ got, want float64 }{{s.Latency.P50, 0.001}, {s.Latency.P90, 0.001}, {s.Latency.P99, 0.01}, {s.Latency.P999, 0.01}, {s.Latency.Max, 0.01}} {
		if math.Abs(l.got-l.want) > l.want/500 {
			t.Errorf("a latency is %v, want %v", l.got, l.want)
		}
	}
}

func TestSummaryOfNothing(t *testing.T) {
	r := finished(strategy("none", 0), Strategy{Name: "global", Skipped: "no time"})
	s := r.Strategies[0].Summary
	if s.CallsPerSecond.Median != 0 || s.SecondsPer10000 != 0 || s.RatioToNone != nil || s.Latency != (Percentiles{}) {
		t.Errorf("the summary is %+v", s)
	}
	if r.Strategies[1].Summary != nil {
		t.Error("a strategy that didn't run has a summary")
	}
}

func TestFinishTwice(t *testing.T) {
	r := fixture(1, 1)
	warnings, advice := slices.Clone(r.Warnings), slices.Clone(r.Advice)
	Finish(&r)
	if !slices.Equal(r.Warnings, warnings) || !slices.Equal(r.Advice, advice) {
		t.Errorf("the second time there are the warnings %q and the advice %q", r.Warnings, r.Advice)
	}
}

func TestKnee(t *testing.T) {
	at := func(rates ...float64) []At {
		var points []At
		for i, rate := range rates {
			points = append(points, At{Value: 1 << i, Rate: rate})
		}
		return points
	}
	for _, test := range []struct {
		name   string
		points []At
		want   int // 0: none
	}{
		{"flat after 4", at(100, 200, 390, 400, 401, 400), 4},
		{"falls after 8", at(100, 200, 300, 400, 300), 8},
		{"within 5 %", at(100, 381, 400, 390), 2},
		{"just not within 5 %", at(100, 379, 400, 390), 4},
		{"exactly 5 %", at(100, 380, 400, 390), 2},
		{"flat from the start", at(100, 101, 100), 1},
		{"still rising", at(100, 200, 400), 0},
		{"two points", at(100, 100), 0},
		{"no points", nil, 0},
		{"nothing ran", at(0, 0, 0), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := Knee(test.points); got != test.want || ok != (test.want != 0) {
				t.Errorf("the knee is %d (%v), want %d", got, ok, test.want)
			}
		})
	}
}

func TestDoubts(t *testing.T) {
	for _, test := range []struct {
		name   string
		report func() Report
		want   []string // parts of the warnings, in their order
	}{
		{"clear order", func() Report {
			return finished(strategy("none", 100, 101, 102, 103), strategy("carpool", 500, 501, 502, 503))
		}, nil},
		{"overlap", func() Report {
			return finished(strategy("carpool", 490, 500, 501, 502, 503), strategy("pgbouncer", 499, 500, 502, 503, 504))
		}, []string{"The order of pgbouncer and carpool isn't certain: their rounds overlap (499 to 504/s and 490 to 503/s; p="}},
		{"overlap of few rounds", func() Report {
			return finished(strategy("carpool", 490, 500), strategy("pgbouncer", 495, 496))
		}, []string{"isn't certain: their rounds overlap (495 to 496/s and 490 to 500/s); more --rounds"}},
		{"few rounds, no overlap", func() Report { return finished(strategy("carpool", 490, 500), strategy("pgbouncer", 400, 410)) }, nil},
		{"single round", func() Report { return finished(strategy("none", 100), strategy("carpool", 500)) }, []string{"With a single round"}},
		{"a wide spread", func() Report {
			return finished(strategy("none", 100, 60, 100, 101), strategy("carpool", 500, 501, 502, 503))
		}, []string{"The rounds of none vary by 40 %"}},
		{"wrong answers where there mustn't be", func() Report {
			s := strategy("carpool", 500, 501)
			s.Rounds[0].WrongAnswers = 1
			return finished(s, strategy("none", 100, 100))
		}, []string{"carpool gave 1 wrong answer, which it never should"}},
		{"wrong answers where they belong", func() Report {
			s := strategy("global-unsafe", 500, 501)
			s.Rounds[0].WrongAnswers = 1
			return finished(s, strategy("none", 100, 100))
		}, nil},
		{"many errors", func() Report {
			s := strategy("direct", 500, 501)
			s.Rounds[0].Errors = map[string]int64{"53300": 90, "timeout": 2}
			return finished(s, strategy("none", 100, 100))
		}, []string{"8 % of the calls of direct failed, most with SQLSTATE 53300 (too many connections)"}},
		{"a rate out of reach", func() Report {
			r := finished(strategy("direct", 500, 501), strategy("none", 100, 100))
			r.Settings.Rate, r.Strategies[1].Rounds[0].Unstarted = 1000, 300
			Finish(&r)
			return r
		}, []string{"none didn't reach the rate of 1,000/s: 300 calls came too late"}},
		{"a busy machine, a heavy harness", func() Report {
			r := finished(strategy("direct", 10000, 10001), strategy("none", 100, 100))
			r.Environment.Cores, r.Environment.LoadAverage = 2, 1.5
			r.Overhead = &Overhead{HarnessSeconds: 40e-6, BareSeconds: 28e-6}
			Finish(&r)
			return r
		}, []string{"The machine was busy before the start: load average 1.50 on 2 cores", "The harness itself takes 12.0 us a call, 12 % of the median latency of direct"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.report().Warnings
			if len(got) != len(test.want) {
				t.Fatalf("the warnings are %q, want %q", got, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("warning %d is %q, want %q", i, got[i], want)
				}
			}
		})
	}
}

func TestCompare(t *testing.T) {
	a := finished(strategy("none", 100, 101, 102, 103, 104), strategy("carpool", 500, 501, 502, 503, 504))
	faster := finished(strategy("none", 100, 101, 102, 103, 105), strategy("carpool", 550, 551, 552, 553, 554))
	slower := finished(strategy("none", 90, 91, 92, 93, 94), strategy("carpool", 400, 401, 402, 403, 404))
	mixed := finished(strategy("none", 90, 91, 92, 93, 94), strategy("carpool", 550, 551, 552, 553, 554))
	few := finished(strategy("none", 200), strategy("carpool", 900))
	three := finished(strategy("none", 200, 201, 202), strategy("carpool", 900, 901, 902))
	other := finished(strategy("global", 90, 91, 92, 93, 94))
	for _, test := range []struct {
		name    string
		b       Report
		verdict string
		changes []bool // significant, of calls a second
		warning string
	}{
		{"itself", a, "The rounds show no difference in calls a second.", []bool{false, false}, ""},
		{"faster", faster, "B is faster with carpool (+10.0 %); with 1 other no difference shows.", []bool{false, true}, ""},
		{"slower", slower, "B is slower with none (-9.8 %) and carpool (-19.9 %).", []bool{true, true}, ""},
		{"mixed", mixed, "B is faster with carpool (+10.0 %), slower with none (-9.8 %).", []bool{true, true}, ""},
		{"too few rounds", few, "The rounds show no difference in calls a second.", []bool{false, false}, "With 5 and 1 rounds no difference can be shown at the level of 0.05"},
		{"five rounds and three", three, "B is faster with none (+97.1 %) and carpool (+79.5 %).", []bool{true, true}, ""},
		{"nothing in common", other, "The reports have no strategy in common.", nil, "Only the first report has none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Compare(a, test.b)
			if c.Verdict != test.verdict {
				t.Errorf("the verdict is %q, want %q", c.Verdict, test.verdict)
			}
			var changes []bool
			for _, row := range c.Metrics[0].Rows {
				changes = append(changes, row.Significant)
			}
			if !slices.Equal(changes, test.changes) {
				t.Errorf("significant are %v, want %v", changes, test.changes)
			}
			if (test.warning == "") != (len(c.Warnings) == 0) || test.warning != "" && !strings.Contains(c.Warnings[0], test.warning) {
				t.Errorf("the warnings are %q, want %q", c.Warnings, test.warning)
			}
		})
	}
	geomean := Compare(a, faster).Metrics[0].Geomean
	if want := math.Sqrt(102 * 502); math.Abs(geomean.A.Median-want) > 1e-6 {
		t.Errorf("the geometric mean is %v, want %v", geomean.A.Median, want)
	}
}

func TestCompareWarnsOfOtherConditions(t *testing.T) {
	a, b := fixture(1, 1), fixture(1, 1)
	b.Settings.Clients, b.Settings.Workload, b.Environment.CPU, b.Environment.ServerSettings = 16, "select1", "", nil
	want := []string{
		"The workload differs: books and select1", "The number of clients differs: 8 and 16", "The processor differs: AMD EPYC 7763 and unknown",
		"The Postgres settings differs: fsync = off, max_connections = 100, shared_buffers = 128MB and unknown",
	}
	if got := Compare(a, b).Warnings; !slices.Equal(got, want) {
		t.Errorf("the warnings are\n%q, want\n%q", got, want)
	}
}

func TestGoldenComparison(t *testing.T) {
	var out strings.Builder
	if err := WriteComparison(&out, Side{"before.json", fixture(1, 1)}, Side{"after.json", fixture(2, 1.2)}, Options{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "comparison.txt", []byte(out.String()))
}
