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

func unfinished(strategies ...Strategy) Report {
	return Report{Settings: Settings{Workload: "books", Clients: 8, Processes: 4, PoolSize: 4}, Strategies: strategies}
}

func finished(strategies ...Strategy) Report {
	r := unfinished(strategies...)
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

func TestWhatASweepShows(t *testing.T) {
	for _, test := range []struct {
		name  string
		rates []int64 // of rounds of two, a little apart
		want  string
	}{
		{"flat", []int64{1000, 2000, 4000, 4010, 4000}, "beyond 4, more brings carpool little"},
		{"falls from the knee", []int64{1000, 2000, 4000, 3600, 3000}, "beyond 4 carpool gets slower"},
		{"falls beyond the knee", []int64{1000, 2000, 3900, 4000, 3000}, "4 is enough for carpool; beyond 8 it gets slower"},
		{"rises", []int64{1000, 2000, 4000, 8000, 16000}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Report{Sweeps: []Sweep{{Setting: "pool"}}}
			for i, n := range test.rates {
				point := Point{Value: 1 << i, Clients: 64, Strategies: []Strategy{strategy("carpool", n, n+5, n-5)}}
				r.Sweeps[0].Points = append(r.Sweeps[0].Points, point)
			}
			Finish(&r)
			if got := r.Sweeps[0].shows(); got != test.want {
				t.Errorf("it shows %q, want %q", got, test.want)
			}
			if got := sweepTitle(r.Sweeps[0]); !strings.HasPrefix(got, "Calls a second by the size of the pool, with 64 clients") || !strings.Contains(got, test.want) {
				t.Errorf("the title is %q", got)
			}
		})
	}
	uncertain := Report{Sweeps: []Sweep{{Setting: "pool"}}}
	for i, rates := range [][]int64{{1000, 1001}, {4000, 2000}, {3000, 2500}} {
		uncertain.Sweeps[0].Points = append(uncertain.Sweeps[0].Points, Point{Value: 1 << i, Strategies: []Strategy{strategy("carpool", rates...)}})
	}
	Finish(&uncertain)
	if got := uncertain.Sweeps[0].shows(); strings.Contains(got, "slower") {
		t.Errorf("of rounds that overlap it shows %q", got)
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
		}, []string{"The order of pgbouncer and carpool isn't certain: their rounds overlap; more --rounds would tell"}},
		{"overlap of few rounds", func() Report {
			return finished(strategy("carpool", 490, 500), strategy("pgbouncer", 495, 496))
		}, []string{"The order of pgbouncer and carpool isn't certain"}},
		{"overlaps in groups", func() Report {
			return finished(strategy("a", 490, 500), strategy("b", 495, 496), strategy("c", 60, 61), strategy("d", 494, 503), strategy("e", 100, 110), strategy("f", 100, 110))
		}, []string{"The order within these groups isn't certain, since their rounds overlap: d, b and a; e and f. More --rounds would tell"}},
		{"few rounds, no overlap", func() Report { return finished(strategy("carpool", 490, 500), strategy("pgbouncer", 400, 410)) }, nil},
		{"single round", func() Report { return finished(strategy("none", 100), strategy("carpool", 500)) }, []string{"With a single round"}},
		{"a wide spread", func() Report {
			return finished(strategy("none", 100, 60, 100, 101), strategy("carpool", 500, 501, 502, 503))
		}, []string{"The rounds of none vary by 40 % around their median: something else used the machine, or the rounds are too short"}},
		{"wide spreads", func() Report {
			return finished(strategy("none", 100, 60, 100, 101), strategy("carpool", 500, 250, 502, 503), strategy("direct", 1000, 1001, 1002, 1000))
		}, []string{"The rounds of none and carpool vary by up to 50 % around their medians"}},
		{"wide spreads everywhere", func() Report {
			return finished(strategy("a", 1000, 500, 1010), strategy("b", 9000, 9001, 9002), strategy("c", 100, 60, 101), strategy("d", 90000, 50000, 91000), strategy("e", 200, 201, 280), strategy("f", 20000, 30000, 20001))
		}, []string{"The rounds of 5 of 6 strategies vary by more than 25 % around their medians, by up to 50 %"}},
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
			none, other := strategy("none", 100, 100), strategy("carpool-connect", 350, 350)
			none.Rounds[0].Unstarted, other.Rounds[0].Unstarted = 300, 70
			return changed(func(r *Report) { r.Settings.Rate = 1000 }, strategy("direct", 500, 501), none, other)
		}, []string{"none and carpool-connect didn't reach the rate of 1,000/s: 60 % and 9 % of their calls came too late to begin"}},
		{"too few calls", func() Report {
			return finished(strategy("none", 40, 41), strategy("direct", 500, 501))
		}, []string{"none made only 81 calls, too few to conclude anything from: a longer --duration would tell"}},
		{"idle connections that some lack", func() Report {
			carpool := strategy("carpool", 500, 501)
			carpool.Rounds[0].IdleConnections, carpool.Rounds[1].IdleConnections = 10_000, 10_000
			return changed(func(r *Report) { r.Settings.IdleClients = 10_000 }, strategy("none", 100, 101), strategy("direct", 700, 701), carpool)
		}, []string{"none and direct had 0 idle connections instead of 10,000: their numbers don't compare with those of the others"}},
		{"a pooler instead of Postgres", func() Report {
			return changed(func(r *Report) { r.Environment.Pooled = true }, strategy("none", 100, 101), strategy("direct", 700, 701))
		}, []string{"What answers at the URL is a pooler: no strategy connects to Postgres itself"}},
		{"a busy machine, a heavy harness", func() Report {
			unsafe := strategy("global-unsafe", 90000, 90001)
			unsafe.Rounds[0].WrongAnswers = 9
			r := finished(unsafe, strategy("direct", 10000, 10001), strategy("none", 100, 100))
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

func TestGeomeanOfNoDifferencesIsNone(t *testing.T) {
	cell := func(a, b Report) string {
		rows := Compare(a, b).Metrics[0].grid().rows
		return rows[len(rows)-1][5]
	}
	a := finished(strategy("none", 100, 101, 102, 103, 104), strategy("carpool", 500, 501, 502, 503, 504))
	same := finished(strategy("none", 100, 101, 103, 103, 104), strategy("carpool", 499, 501, 502, 503, 504))
	faster := finished(strategy("none", 100, 101, 103, 103, 104), strategy("carpool", 599, 601, 602, 603, 604))
	if got := cell(a, same); got != "~ +0.5 %" {
		t.Errorf("without a difference the geomean's change is %q", got)
	}
	if got := cell(a, faster); !strings.HasSuffix(got, "better") {
		t.Errorf("with a difference the geomean's change is %q", got)
	}
}

func TestCompareWarnsOfOtherConditions(t *testing.T) {
	a, b := fixture(1, 1), fixture(1, 1)
	b.Settings.Clients, b.Settings.Workload, b.Environment.CPU, b.Settings.IdleClients = 16, "select1", "", 7
	b.Environment.ServerSettings = map[string]string{"fsync": "on", "shared_buffers": "128MB"}
	want := []string{
		"The workload differs: books and select1", "The number of clients differs: 8 and 16", "The number of idle clients differs: 0 and 7", "The processor differs: AMD EPYC 7763 and unknown",
		"The Postgres settings differ: fsync = off, max_connections = 100 and fsync = on",
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
