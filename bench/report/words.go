package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fact is one of the conditions under which the numbers were taken.
type fact struct{ Label, Text string }

// examplesShown is how many examples of what went wrong a reader gets.
const examplesShown = 3

// story tells in a few sentences what came out.
func story(r Report) []string {
	if r.Settings.Rate > 0 {
		return append([]string{fmt.Sprintf("Calls begin at %s, whatever the answers do.", rate(r.Settings.Rate))}, printables(keepingUp(r))...)
	}
	none := r.strategy("none")
	if none == nil || none.Summary.CallsPerSecond.Median <= 0 {
		return nil
	}
	mark := none.Summary.CallsPerSecond.Median
	told := []string{fmt.Sprintf("A program that connects to %s for every call makes %s calls a second here.", r.server(), amount(mark))}
	for _, other := range []struct{ name, does string }{
		{"carpool-connect", "The same program, unchanged, makes %s when it connects to carpool instead: %s as many."},
		{"carpool", "One that keeps its connections to carpool makes %s: %s as many."},
		{"driver-pool", "With a pool in each process it makes %s: %s as many."},
	} {
		if s := r.strategy(other.name); s != nil && s.Summary.CallsPerSecond.Median > mark {
			rate := s.Summary.CallsPerSecond.Median
			told = append(told, fmt.Sprintf(other.does, amount(rate), factor(rate/mark)))
		}
	}
	return told
}

// cutOff tells that the benchmark was stopped, and how far it had come; empty when it wasn't.
func cutOff(r Report) string {
	if !r.CutOff {
		return ""
	}
	most, short := 0, false
	for _, s := range r.Strategies {
		most = max(most, len(s.Rounds))
		short = short || s.Skipped == "" && len(s.Failures) == 0 && len(s.Rounds) < r.Settings.Rounds
	}
	asked := int64(r.Settings.Rounds)
	switch {
	case most < r.Settings.Rounds:
		return fmt.Sprintf("Stopped before the end: at most %s of %s measured.", count(int64(most)), wasOrWere(asked, "round"))
	case short:
		return fmt.Sprintf("Stopped before the end, in the last of %s.", plural(asked, "round"))
	}
	return "Stopped before the end: not everything was measured."
}

// wrong is what a strategy that gave wrong answers did, in a sentence, with examples.
type wrong struct {
	Sentence string
	Examples []string
}

// wrongs are those of all strategies.
func wrongs(strategies []Strategy) []wrong {
	var all []wrong
	for _, s := range ran(strategies) {
		n := s.Summary.WrongCount()
		if n == 0 {
			continue
		}
		var kinds []string
		for _, kind := range []struct {
			n    int64
			noun string
		}{
			{s.Summary.WrongAnswers, "answer to another question"},
			{s.Summary.MixedTransactions, "transaction that somebody else had changed"},
			{s.Summary.ProtocolErrors, "message that belonged to another caller"},
		} {
			if kind.n > 0 {
				kinds = append(kinds, pluralWords(kind.n, kind.noun))
			}
		}
		w := wrong{Sentence: fmt.Sprintf("What went wrong with %s (%s): %s.", printable(s.Name), printable(s.title()), list(kinds))}
		if len(s.examples()) > 0 {
			w.Sentence = strings.TrimSuffix(w.Sentence, ".") + ", such as:"
			w.Examples = s.examples()
		}
		all = append(all, w)
	}
	return all
}

// pluralWords writes n with a noun whose first word takes the plural.
func pluralWords(n int64, noun string) string {
	first, rest, _ := strings.Cut(noun, " ")
	return plural(n, first) + " " + rest
}

// examples are the first that differ, of all rounds.
func (s Strategy) examples() []string {
	var examples []string
	for _, round := range s.Rounds {
		for _, example := range round.Examples {
			example = printable(example)
			if len(examples) < examplesShown && !slices.Contains(examples, example) {
				examples = append(examples, example)
			}
		}
	}
	return examples
}

// failures are the sentences about calls that failed, a strategy each.
func failures(strategies []Strategy) []string {
	var told []string
	for _, s := range ran(strategies) {
		states := errorStates(s.Summary.Errors)
		if len(states) == 0 {
			continue
		}
		var parts []string
		for _, state := range states {
			parts = append(parts, fmt.Sprintf("%s of %s", count(s.Summary.Errors[state]), errorName(state)))
		}
		text := fmt.Sprintf("Calls of %s that failed: %s.", printable(s.Name), list(parts))
		for _, round := range s.Rounds {
			if round.FirstError != "" {
				text += " The first said: " + printable(round.FirstError) + "."
				break
			}
		}
		told = append(told, text)
	}
	return told
}

// unmeasured are the sentences about rounds that couldn't be measured, of strategies that have others.
func unmeasured(r Report) []string {
	var told []string
	for _, s := range r.Strategies {
		if len(s.Failures) == 0 || s.Skipped != "" {
			continue
		}
		text := fmt.Sprintf("%s of %s couldn't be measured (%s)", plural(int64(len(s.Failures)), "round"), printable(s.Name), reasons(s.Failures))
		if !r.CutOff && len(s.Rounds)+len(s.Failures) < r.Settings.Rounds {
			text += ", and it wasn't tried again"
		}
		told = append(told, text+"; its numbers are those of "+plural(int64(len(s.Rounds)), "round")+".")
	}
	return told
}

// reasons joins sentences that differ.
func reasons(sentences []string) string {
	var different []string
	for _, text := range sentences {
		if text = strings.TrimRight(printable(text), ". "); !slices.Contains(different, text) {
			different = append(different, text)
		}
	}
	return strings.Join(different, "; ")
}

// remarks are the sentences below the table: what failed, and what wasn't measured.
func remarks(r Report) []string {
	return slices.Concat(failures(r.Strategies), unmeasured(r), skipped(r.Strategies), gaps(r.Sweeps))
}

// skipped are the sentences about strategies that didn't run.
func skipped(strategies []Strategy) []string {
	var told []string
	for _, s := range strategies {
		if s.Skipped != "" {
			told = append(told, s.label()+" wasn't run: "+printable(s.Skipped))
		}
	}
	return told
}

// facts are the conditions, what isn't known left out.
func facts(r Report) []fact {
	s, e := r.Settings, r.Environment
	all := []fact{
		{"Load", load(s)},
		{"Measured", measured(s)},
		{"Connection", connection(r)},
		{"Machine", machine(e)},
		{"Software", software(e)},
		{"Postgres settings", settings(e.ServerSettings)},
	}
	if o := r.Overhead; o != nil {
		all = append(all, fact{"Harness", fmt.Sprintf("takes %s us a call of its own (%s us against a server that only echoes, %s us for a bare loop)",
			amount(o.PerCallSeconds()*1e6), amount(o.HarnessSeconds*1e6), amount(o.BareSeconds*1e6))})
	}
	if !r.Made.IsZero() {
		all = append(all, fact{"Made", r.Made.UTC().Format("2 January 2006, 15:04 UTC")})
	}
	all = append(all, fact{"Command", printable(s.CommandLine)})
	return slices.DeleteFunc(all, func(f fact) bool { return f.Text == "" })
}

func load(s Settings) string {
	parts := []string{"workload " + printable(s.Workload)}
	if s.Protocol != "" {
		parts = append(parts, printable(s.Protocol)+" protocol")
	}
	parts = append(parts, plural(int64(s.Clients), "client")+" in "+plural(int64(s.Processes), "process"))
	if s.IdleClients > 0 {
		parts = append(parts, plural(int64(s.IdleClients), "idle client")+" besides")
	}
	if s.PoolSize > 0 {
		parts = append(parts, "pools of "+plural(int64(s.PoolSize), "connection"))
	}
	if s.Rate > 0 {
		parts = append(parts, rate(s.Rate)+" begun whether or not earlier calls are done, latency from the intended start")
	} else {
		parts = append(parts, "each client waits for its answer before it calls again")
	}
	if s.ThinkSeconds > 0 {
		parts = append(parts, latency(s.ThinkSeconds)+" between calls")
	}
	return strings.Join(parts, ", ")
}

func measured(s Settings) string {
	length := ""
	switch {
	case s.DurationSeconds > 0:
		length = exact(s.DurationSeconds) + " s"
	case s.Calls > 0:
		length = plural(s.Calls, "call")
	default:
		return plural(int64(s.Rounds), "round")
	}
	return fmt.Sprintf("%s of %s for each strategy, in turns; seed %d", plural(int64(s.Rounds), "round"), length, s.Seed)
}

func connection(r Report) string {
	s, e := r.Settings, r.Environment
	var parts []string
	switch s.Transport {
	case "":
	case "tcp":
		parts = append(parts, "TCP without TLS")
	case "tls":
		parts = append(parts, "TCP with TLS")
	case "unix":
		parts = append(parts, "a Unix socket")
	default:
		parts = append(parts, printable(s.Transport))
	}
	if s.DelaySeconds > 0 {
		parts = append(parts, latency(s.DelaySeconds)+" added to each round trip to "+r.server())
	}
	if e.Pooled {
		parts = append(parts, "what answers at the URL is a pooler")
	}
	if e.Private {
		parts = append(parts, "clients, poolers and a private Postgres share this machine")
	}
	return strings.Join(parts, "; ")
}

func machine(e Environment) string {
	var parts []string
	if e.CPU != "" {
		parts = append(parts, printable(e.CPU))
	}
	if e.Cores > 0 {
		parts = append(parts, plural(int64(e.Cores), "core"))
	}
	if e.MemoryBytes > 0 {
		parts = append(parts, size(e.MemoryBytes)+" of memory")
	}
	if e.OS != "" {
		parts = append(parts, printable(e.OS))
	}
	if e.LoadAverage > 0 {
		parts = append(parts, "load average "+amount(e.LoadAverage)+" before the start")
	}
	return strings.Join(parts, ", ")
}

func software(e Environment) string {
	var parts []string
	if e.Postgres != "" {
		parts = append(parts, "Postgres "+printable(e.Postgres))
	}
	if e.Carpool != "" {
		version := "carpool " + printable(e.Carpool)
		if e.Commit != "" {
			version += " (commit " + printable(e.Commit) + ")"
		}
		parts = append(parts, version)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Poolers)) {
		if name != "carpool" {
			parts = append(parts, printable(name+" "+e.Poolers[name]))
		}
	}
	if e.Go != "" {
		parts = append(parts, printable(e.Go))
	}
	return strings.Join(parts, ", ")
}

func settings(all map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, printable(name+" = "+all[name]))
	}
	return strings.Join(parts, ", ")
}

// madeOn is the day of the report, empty when it isn't known.
func madeOn(r Report) string {
	if r.Made.IsZero() {
		return ""
	}
	return r.Made.UTC().Format(time.DateOnly)
}
