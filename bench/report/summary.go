package report

import (
	"cmp"
	"maps"
	"slices"

	"golang.org/x/perf/benchmath"
)

// booksCalls is how many calls the lecture's table gives seconds for.
const booksCalls = 10_000

// Summary is what all rounds of a strategy amount to. A nil pointer is what no round has measured.
type Summary struct {
	Rounds         int         `json:"rounds"`
	Calls          int64       `json:"calls"` // that succeeded, of all rounds
	CallsPerSecond Spread      `json:"calls_per_second"`
	Latency        Percentiles `json:"latency"` // of the calls of all rounds together

	// SecondsPer10000 is how long 10,000 calls take all clients together: 10,000 divided by CallsPerSecond's median. It is 0
	// when no call succeeded.
	SecondsPer10000 float64 `json:"seconds_per_10000_calls"`
	// RatioToNone is how many times as many calls a second the strategy makes as `none` does.
	RatioToNone *float64 `json:"ratio_to_none"`

	Errors            map[string]int64 `json:"errors"` // by SQLSTATE, or "connection", "timeout"
	WrongAnswers      int64            `json:"wrong_answers"`
	MixedTransactions int64            `json:"mixed_transactions"`
	ProtocolErrors    int64            `json:"protocol_errors"`
	Unstarted         int64            `json:"unstarted"`
	Due               int64            `json:"due"` // 0 unless all rounds know it

	ServerConnections *int     `json:"server_connections"`           // the most of all rounds
	IdleConnections   int      `json:"idle_connections"`             // the fewest of all rounds
	ClientCPU         *float64 `json:"client_cpu_seconds_per_10000"` // CPU seconds for 10,000 calls, the median of the rounds
	PoolerCPU         *float64 `json:"pooler_cpu_seconds_per_10000"`
	ServerCPU         *float64 `json:"server_cpu_seconds_per_10000"`
	PoolerBytes       *int64   `json:"pooler_bytes"` // the most of all rounds
}

// Spread is the median of the rounds, and the lowest and the highest of them.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Width is the distance of the farther end from the median, as a share of the median; 0 for a median of 0.
func (s Spread) Width() float64 {
	if s.Median <= 0 {
		return 0
	}
	return max(s.High-s.Median, s.Median-s.Low) / s.Median
}

// ErrorCount is the number of failed calls, whatever their SQLSTATE.
func (s Summary) ErrorCount() int64 {
	var sum int64
	for _, n := range s.Errors {
		sum += n
	}
	return sum
}

// WrongCount is the number of calls that got an answer that they must not rely on: to another question, in somebody
// else's transaction, or not in the protocol's order.
func (s Summary) WrongCount() int64 { return s.WrongAnswers + s.MixedTransactions + s.ProtocolErrors }

// Finish computes what follows from the rounds: every strategy's Summary, the knees of the sweeps, warnings, which it adds
// to those that are there, and the advice, which it replaces. It may be called again after a change.
func Finish(r *Report) {
	summarize(r.Strategies)
	for i := range r.Sweeps {
		sweep := &r.Sweeps[i]
		slices.SortStableFunc(sweep.Points, func(a, b Point) int { return a.Value - b.Value })
		for _, point := range sweep.Points {
			summarize(point.Strategies)
		}
		sweep.Knee = 0
		if knee, ok := sweepKnee(*sweep); ok && r.Settings.Rate == 0 { // a rate bounds all points alike
			sweep.Knee = knee
		}
	}
	for _, warning := range doubts(*r) {
		if !slices.Contains(r.Warnings, warning) {
			r.Warnings = append(r.Warnings, warning)
		}
	}
	r.Advice = Advise(*r)
}

// summarize gives every strategy that ran its summary.
func summarize(strategies []Strategy) {
	for i := range strategies {
		strategies[i].Summary = nil
		if len(strategies[i].Rounds) > 0 {
			s := newSummary(strategies[i].Rounds)
			strategies[i].Summary = &s
		}
	}
	none := find(strategies, "none")
	if none == nil || none.CallsPerSecond.Median <= 0 {
		return
	}
	for i := range strategies {
		if s := strategies[i].Summary; s != nil {
			ratio := s.CallsPerSecond.Median / none.CallsPerSecond.Median
			s.RatioToNone = &ratio
		}
	}
}

// find is the summary of the strategy of that name, nil when it didn't run.
func find(strategies []Strategy, name string) *Summary {
	for _, s := range strategies {
		if s.Name == name {
			return s.Summary
		}
	}
	return nil
}

func newSummary(rounds []Round) Summary {
	s := Summary{Rounds: len(rounds), Errors: map[string]int64{}, IdleConnections: rounds[0].IdleConnections}
	dueKnown := true
	for _, round := range rounds {
		s.Calls += round.Calls
		for state, n := range round.Errors {
			s.Errors[state] += n
		}
		s.WrongAnswers += round.WrongAnswers
		s.MixedTransactions += round.MixedTransactions
		s.ProtocolErrors += round.ProtocolErrors
		s.Unstarted += round.Unstarted
		s.Due += round.Due
		dueKnown = dueKnown && round.Due > 0
		s.IdleConnections = min(s.IdleConnections, round.IdleConnections)
		s.ServerConnections = larger(s.ServerConnections, round.ServerConnections)
		s.PoolerBytes = larger(s.PoolerBytes, round.PoolerBytes)
	}
	if !dueKnown {
		s.Due = 0
	}
	s.CallsPerSecond = spread(each(rounds, Round.callsPerSecond))
	if s.CallsPerSecond.Median > 0 {
		s.SecondsPer10000 = booksCalls / s.CallsPerSecond.Median
	}
	s.Latency = newDistribution(rounds...).percentiles()
	s.ClientCPU = medianPer10000(rounds, func(r Round) *float64 { return r.ClientCPUSeconds })
	s.PoolerCPU = medianPer10000(rounds, func(r Round) *float64 { return r.PoolerCPUSeconds })
	s.ServerCPU = medianPer10000(rounds, func(r Round) *float64 { return r.ServerCPUSeconds })
	return s
}

// callsPerSecond is 0 for a round that took no time, or less than a clock can tell.
func (r Round) callsPerSecond() float64 {
	if r.ElapsedSeconds < 1e-9 {
		return 0
	}
	return float64(r.Calls) / r.ElapsedSeconds
}

func each(rounds []Round, value func(Round) float64) []float64 {
	values := make([]float64, len(rounds))
	for i, round := range rounds {
		values[i] = value(round)
	}
	return values
}

// spread leaves values as they are.
func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	return Spread{Median: median(values), Low: slices.Min(values), High: slices.Max(values)}
}

func median(values []float64) float64 {
	return benchmath.AssumeNothing.Summary(sample(values), confidence).Center
}

// sample is a copy of values for benchmath, which sorts it.
func sample(values []float64) *benchmath.Sample {
	thresholds := benchmath.DefaultThresholds
	return benchmath.NewSample(slices.Clone(values), &thresholds)
}

// confidence is that of every interval in a report.
const confidence = 0.95

// medianPer10000 is the median of what 10,000 calls took of seconds, nil when no round knows.
func medianPer10000(rounds []Round, seconds func(Round) *float64) *float64 {
	var values []float64
	for _, round := range rounds {
		if s := seconds(round); s != nil && round.Calls > 0 {
			values = append(values, *s/float64(round.Calls)*booksCalls)
		}
	}
	if len(values) == 0 {
		return nil
	}
	m := median(values)
	return &m
}

// larger is a new pointer to the larger of two values that may be missing.
func larger[T int | int64](a, b *T) *T {
	switch {
	case b == nil:
		return a
	case a == nil || *b > *a:
		v := *b
		return &v
	}
	return a
}

// errorStates are the keys of errors, the most frequent first.
func errorStates(errors map[string]int64) []string {
	states := slices.Sorted(maps.Keys(errors))
	slices.SortStableFunc(states, func(a, b string) int { return cmp.Compare(errors[b], errors[a]) })
	return states
}
