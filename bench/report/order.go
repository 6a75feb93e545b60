package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// enoughRounds is the number of rounds on both sides from which the Mann-Whitney test can find a difference at all.
const enoughRounds = 4

// What makes numbers doubtful.
const (
	wideSpread    = 0.25 // share of the median that a round may be away from it
	manyErrors    = 0.01 // share of the calls that may fail
	heavyHarness  = 0.05 // share of the median latency that the harness may take
	namesShown    = 4    // names in a sentence; of more only the number is told
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

// doubts are the sentences about what makes the numbers of r doubtful: few, since nobody reads ten.
func doubts(r Report) []string {
	var warnings []string
	for _, part := range []func(Report) []string{
		pooledDoubts, orderDoubts, spreadDoubts, wrongDoubts, errorDoubts, lateDoubts, fewDoubts, idleDoubts, machineDoubts, overheadDoubts,
	} {
		warnings = append(warnings, part(r)...)
	}
	return warnings
}

func pooledDoubts(r Report) []string {
	if !r.Environment.Pooled {
		return nil
	}
	return []string{"What answers at the URL is a pooler: no strategy connects to Postgres itself, and what they cost Postgres isn't known"}
}

// orderDoubts tells of strategies that are next to each other in speed and can't be told apart.
func orderDoubts(r Report) []string {
	strategies := ran(r.Strategies)
	if len(strategies) < 2 || r.Settings.Rate > 0 {
		return nil
	}
	if slices.ContainsFunc(strategies, func(s Strategy) bool { return len(s.Rounds) < 2 }) {
		return []string{"With a single round nothing is known of how much the numbers vary, so the order of close strategies isn't certain; --rounds 5 would tell"}
	}
	groups := alike(strategies)
	switch len(groups) {
	case 0:
		return nil
	case 1:
		return []string{fmt.Sprintf("The order of %s isn't certain: their rounds overlap; more --rounds would tell", groups[0])}
	}
	return []string{fmt.Sprintf("The order within these groups isn't certain, since their rounds overlap: %s. More --rounds would tell", strings.Join(groups, "; "))}
}

// alike are the names of strategies each of which can't be told from the next slower one, the fastest first.
func alike(strategies []Strategy) []string {
	slices.SortStableFunc(strategies, func(a, b Strategy) int {
		return cmp.Compare(b.Summary.CallsPerSecond.Median, a.Summary.CallsPerSecond.Median)
	})
	var groups []string
	for i := 0; i < len(strategies); {
		names := []string{printable(strategies[i].Name)}
		for i++; i < len(strategies) && !distinct(strategies[i-1], strategies[i]); i++ {
			names = append(names, printable(strategies[i].Name))
		}
		if len(names) > 1 {
			groups = append(groups, list(names))
		}
	}
	return groups
}

// spreadDoubts tells of rounds that are far apart.
func spreadDoubts(r Report) []string {
	var names []string
	widest := 0.0
	strategies := ran(r.Strategies)
	for _, s := range strategies {
		if width := s.Summary.CallsPerSecond.Width(); width > wideSpread {
			names = append(names, printable(s.Name))
			widest = max(widest, width)
		}
	}
	why := "something else used the machine, or the rounds are too short"
	switch n := len(names); {
	case n == 0:
		return nil
	case n > namesShown:
		return []string{fmt.Sprintf("The rounds of %s of %s strategies vary by more than %s around their medians, by up to %s: %s",
			count(int64(n)), count(int64(len(strategies))), percent(wideSpread), percent(widest), why)}
	case n == 1:
		return []string{fmt.Sprintf("The rounds of %s vary by %s around their median: %s", names[0], percent(widest), why)}
	}
	return []string{fmt.Sprintf("The rounds of %s vary by up to %s around their medians: %s", list(names), percent(widest), why)}
}

// wrongDoubts tells of wrong answers where there must be none.
func wrongDoubts(r Report) []string {
	var warnings []string
	for _, s := range ran(r.Strategies) {
		if wrong := s.Summary.WrongCount(); wrong > 0 && !s.Unsafe {
			warnings = append(warnings, fmt.Sprintf("%s gave %s, which it never should: its speed doesn't count", printable(s.Name), plural(wrong, "wrong answer")))
		}
	}
	return warnings
}

// errorDoubts tells of calls that failed.
func errorDoubts(r Report) []string {
	var warnings []string
	for _, s := range ran(r.Strategies) {
		failed := s.Summary.ErrorCount()
		all := float64(failed + s.Summary.Calls)
		if failed > 0 && float64(failed) > manyErrors*all {
			warnings = append(warnings, fmt.Sprintf("%s of the calls of %s failed, most with %s; its numbers are those of the calls that succeeded",
				percent(float64(failed)/all), printable(s.Name), errorName(errorStates(s.Summary.Errors)[0])))
		}
	}
	return warnings
}

// fewDoubts tells of strategies that made too few calls.
func fewDoubts(r Report) []string {
	var names []string
	var most int64
	for _, s := range ran(r.Strategies) {
		if !s.Summary.tells() {
			names = append(names, printable(s.Name))
			most = max(most, s.Summary.Calls)
		}
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
		return []string{fmt.Sprintf("%s made only %s, too few to conclude anything from: a longer --duration would tell", names[0], plural(most, "call"))}
	}
	return []string{fmt.Sprintf("%s made only %s or fewer each, too few to conclude anything from: a longer --duration would tell", list(names), plural(most, "call"))}
}

// idleDoubts tells of strategies that weren't measured with the idle connections that others had.
func idleDoubts(r Report) []string {
	var names []string
	fewest, asked := 0, r.Settings.IdleClients
	strategies := ran(r.Strategies)
	for _, s := range strategies {
		if n := s.Summary.IdleConnections; n < asked {
			names = append(names, printable(s.Name))
			fewest = max(fewest, n)
		}
	}
	if len(names) == 0 {
		return nil
	}
	had := fmt.Sprintf("%s had %s instead of %s", list(names), plural(int64(fewest), "idle connection"), count(int64(asked)))
	if fewest > 0 && len(names) > 1 {
		had = fmt.Sprintf("%s had at most %s instead of %s", list(names), plural(int64(fewest), "idle connection"), count(int64(asked)))
	}
	if len(names) == len(strategies) {
		return []string{had}
	}
	return []string{fmt.Sprintf("%s: %s numbers don't compare with those of the others", had, its(names))}
}

func machineDoubts(r Report) []string {
	e := r.Environment
	if e.Cores <= 0 || r.quiet() {
		return nil
	}
	return []string{fmt.Sprintf("The machine was busy before the start: load average %s on %s; the numbers are lower, and less even, than they could be",
		amount(e.LoadAverage), plural(int64(e.Cores), "core"))}
}

// overheadDoubts tells of a harness that takes a share of what it measures. A strategy that reads somebody else's answer, which
// is there already, has no latency to compare with.
func overheadDoubts(r Report) []string {
	if r.Overhead == nil {
		return nil
	}
	var fastest *Strategy
	for _, s := range ran(r.Strategies) {
		if s.Summary.Latency.P50 > 0 && s.Summary.WrongCount() == 0 && (fastest == nil || s.Summary.Latency.P50 < fastest.Summary.Latency.P50) {
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
	case "script":
		return "a mistake in the script"
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
