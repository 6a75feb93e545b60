package report

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/perf/benchmath"
)

// enoughRounds is the number of rounds on both sides from which the Mann-Whitney test can find a difference at all.
const enoughRounds = 4

// What makes numbers doubtful.
const (
	wideSpread    = 0.25 // share of the median that a round may be away from it
	manyErrors    = 0.01 // share of the calls that may fail
	heavyHarness  = 0.05 // share of the median latency that the harness may take
	busyPerCore   = 0.5  // load average for a core, before the start
	lateCallShare = 0.01 // share of an open loop's calls that may come too late to begin
)

// test compares the calls a second of two strategies, round by round, without assuming how they are distributed.
func test(a, b []Round) benchmath.Comparison {
	return benchmath.AssumeNothing.Compare(sample(each(a, Round.callsPerSecond)), sample(each(b, Round.callsPerSecond)))
}

// distinct is whether the rounds tell which of the two strategies is faster. With too few rounds for a test they do when
// the two don't overlap; a single round never does.
func distinct(a, b Strategy) bool {
	switch n := min(len(a.Rounds), len(b.Rounds)); {
	case n >= enoughRounds:
		comparison := test(a.Rounds, b.Rounds)
		return comparison.P <= comparison.Alpha
	case n < 2:
		return false
	}
	x, y := a.Summary.CallsPerSecond, b.Summary.CallsPerSecond
	return x.Low > y.High || y.Low > x.High
}

// ran are the strategies that have a summary.
func ran(strategies []Strategy) []Strategy {
	return slices.DeleteFunc(slices.Clone(strategies), func(s Strategy) bool { return s.Summary == nil })
}

// doubts are the sentences about what makes the numbers of r doubtful.
func doubts(r Report) []string {
	warnings := orderDoubts(r)
	for _, s := range ran(r.Strategies) {
		warnings = append(warnings, s.doubts(r.Settings)...)
	}
	if e := r.Environment; e.Cores > 0 && e.LoadAverage > busyPerCore*float64(e.Cores) {
		warnings = append(warnings, fmt.Sprintf("The machine was busy before the start: load average %s on %s; the numbers are lower, and less even, than they could be",
			amount(e.LoadAverage), plural(int64(e.Cores), "core")))
	}
	if r.Overhead != nil {
		warnings = append(warnings, overheadDoubts(r)...)
	}
	return warnings
}

// orderDoubts tells of strategies that are next to each other in speed and can't be told apart.
func orderDoubts(r Report) []string {
	strategies := ran(r.Strategies)
	if len(strategies) < 2 {
		return nil
	}
	if slices.ContainsFunc(strategies, func(s Strategy) bool { return len(s.Rounds) < 2 }) {
		return []string{"With a single round nothing is known of how much the numbers vary, so the order of close strategies isn't certain; --rounds 5 would tell"}
	}
	slices.SortStableFunc(strategies, func(a, b Strategy) int {
		return cmp.Compare(b.Summary.CallsPerSecond.Median, a.Summary.CallsPerSecond.Median)
	})
	var warnings []string
	for i, a := range strategies[:len(strategies)-1] {
		b := strategies[i+1]
		if distinct(a, b) {
			continue
		}
		statistics := ""
		if min(len(a.Rounds), len(b.Rounds)) >= enoughRounds {
			statistics = "; " + test(a.Rounds, b.Rounds).String()
		}
		warnings = append(warnings, fmt.Sprintf("The order of %s and %s isn't certain: their rounds overlap (%s and %s%s); more --rounds would tell",
			printable(a.Name), printable(b.Name), a.Summary.CallsPerSecond.span(), b.Summary.CallsPerSecond.span(), statistics))
	}
	return warnings
}

// span is the spread for a sentence.
func (s Spread) span() string { return amount(s.Low) + " to " + rate(s.High) }

// doubts are those about one strategy, which ran.
func (s Strategy) doubts(settings Settings) []string {
	var warnings []string
	name := printable(s.Name)
	if width := s.Summary.CallsPerSecond.Width(); width > wideSpread {
		warnings = append(warnings, fmt.Sprintf("The rounds of %s vary by %s around their median: something else used the machine, or the rounds are too short",
			name, percent(width)))
	}
	if wrong := s.Summary.WrongCount(); wrong > 0 && !s.Unsafe {
		warnings = append(warnings, fmt.Sprintf("%s gave %s, which it never should: its speed doesn't count",
			name, plural(wrong, "wrong answer")))
	}
	failed := s.Summary.ErrorCount()
	all := float64(failed + s.Summary.Calls)
	if failed > 0 && float64(failed) > manyErrors*all {
		state := errorStates(s.Summary.Errors)[0]
		warnings = append(warnings, fmt.Sprintf("%s of the calls of %s failed, most with %s; its numbers are those of the calls that succeeded",
			percent(float64(failed)/all), name, errorName(state)))
	}
	if late := s.Summary.Unstarted; settings.Rate > 0 && float64(late) > lateCallShare*(all+float64(late)) {
		warnings = append(warnings, fmt.Sprintf("%s didn't reach the rate of %s: %s came too late to begin",
			name, rate(settings.Rate), plural(late, "call")))
	}
	return warnings
}

// overheadDoubts tells of a harness that takes a share of what it measures.
func overheadDoubts(r Report) []string {
	var fastest *Strategy
	for _, s := range ran(r.Strategies) {
		if s.Summary.Latency.P50 > 0 && (fastest == nil || s.Summary.Latency.P50 < fastest.Summary.Latency.P50) {
			fastest = &s
		}
	}
	if fastest == nil {
		return nil
	}
	own := r.Overhead.PerCallSeconds()
	share := own / fastest.Summary.Latency.P50
	if share <= heavyHarness {
		return nil
	}
	return []string{fmt.Sprintf("The harness itself takes %s us a call, %s of the median latency of %s",
		amount(own*1e6), percent(share), printable(fastest.Name))}
}

// errorName is a key of errors as a reader knows it.
func errorName(key string) string {
	switch key {
	case "53300":
		return "SQLSTATE 53300 (too many connections)"
	case "connection":
		return "a lost or refused connection"
	case "timeout":
		return "a reply that never came"
	}
	if len(key) == 5 {
		return "SQLSTATE " + printable(key)
	}
	return printable(key)
}

// plural writes n with its noun.
func plural(n int64, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun[len(noun)-1] == 's':
		return count(n) + " " + noun + "es"
	}
	return count(n) + " " + noun + "s"
}
