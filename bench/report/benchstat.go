package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteBenchstat writes r in the Go benchmark format, a line for each strategy and round, for benchstat and its like. Rounds
// without a successful call have no line.
func WriteBenchstat(w io.Writer, r Report) error {
	var text strings.Builder
	for _, line := range []struct{ key, value string }{
		{"goos", firstWord(r.Environment.OS)},
		{"cpu", r.Environment.CPU},
		{"cores", whole(int64(r.Environment.Cores))},
		{"postgres", r.Environment.Postgres},
		{"carpool", r.Environment.Carpool},
		{"commit", r.Environment.Commit},
		{"protocol", r.Settings.Protocol},
		{"transport", r.Settings.Transport},
	} {
		if value := strings.TrimSpace(printable(line.value)); value != "" && value != "0" {
			fmt.Fprintf(&text, "%s: %s\n", line.key, value)
		}
	}
	text.WriteString("Unit calls/s better=higher\n")
	for _, s := range r.Strategies {
		for _, round := range s.Rounds {
			if round.callsPerSecond() > 0 {
				text.WriteString(round.benchmark(s.Name, r.Settings) + "\n")
			}
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// benchmark is the line of a round. Its ns/op are those of the clock: 10 clients that each take 1 ms have 100,000.
func (r Round) benchmark(strategy string, s Settings) string {
	name := fmt.Sprintf("Benchmark%s/strategy=%s/processes=%d/clients=%d", benchmarkName(s.Workload), benchmarkPart(strategy), s.Processes, s.Clients)
	p := newDistribution(r).percentiles()
	values := []string{
		number(r.ElapsedSeconds*1e9/float64(r.Calls)) + " ns/op",
		number(r.callsPerSecond()) + " calls/s",
		number(p.P50*1e9) + " p50-ns", number(p.P99*1e9) + " p99-ns",
		whole(r.WrongAnswers+r.MixedTransactions+r.ProtocolErrors) + " wrong/run",
	}
	if r.ServerConnections != nil {
		values = append(values, whole(int64(*r.ServerConnections))+" server-conns")
	}
	return fmt.Sprintf("%s\t%d\t%s", name, r.Calls, strings.Join(values, "\t"))
}

// benchmarkName makes "ReadHeavy" of "read-heavy".
func benchmarkName(workload string) string {
	var name strings.Builder
	start := true
	for _, r := range workload {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			start = true
			continue
		}
		if start {
			r = unicode.ToUpper(r)
		}
		name.WriteRune(r)
		start = false
	}
	if name.Len() == 0 {
		return "Calls"
	}
	return name.String()
}

// benchmarkPart is text without what would end a part of a benchmark's name.
func benchmarkPart(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r <= unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, text)
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return strings.ToLower(word)
}
