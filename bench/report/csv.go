package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteCSV writes a head and one row for each strategy and round. Times are in seconds; what wasn't measured is empty.
func WriteCSV(w io.Writer, r Report) error {
	out := csv.NewWriter(w)
	rows := [][]string{{
		"strategy", "round", "elapsed_seconds", "calls", "calls_per_second", "latency_p50", "latency_p90", "latency_p99",
		"latency_p99_9", "latency_max", "errors", "error_states", "wrong_answers", "mixed_transactions", "protocol_errors", "unstarted",
		"server_connections", "client_cpu_seconds", "pooler_cpu_seconds", "server_cpu_seconds", "pooler_bytes",
		"idle_connections", "due",
	}}
	for _, s := range r.Strategies {
		for i, round := range s.Rounds {
			rows = append(rows, round.csv(s.Name, i+1))
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func (r Round) csv(strategy string, round int) []string {
	p := newDistribution(r).percentiles()
	var errors int64
	var states []string
	for _, state := range errorStates(r.Errors) {
		errors += r.Errors[state]
		states = append(states, fmt.Sprintf("%s:%d", printable(state), r.Errors[state]))
	}
	return []string{
		printable(strategy), strconv.Itoa(round), number(r.ElapsedSeconds), whole(r.Calls), number(r.callsPerSecond()),
		number(p.P50), number(p.P90), number(p.P99), number(p.P999), number(p.Max),
		whole(errors), strings.Join(states, " "), whole(r.WrongAnswers), whole(r.MixedTransactions), whole(r.ProtocolErrors), whole(r.Unstarted),
		known(r.ServerConnections, strconv.Itoa), known(r.ClientCPUSeconds, number), known(r.PoolerCPUSeconds, number),
		known(r.ServerCPUSeconds, number), known(r.PoolerBytes, whole), strconv.Itoa(r.IdleConnections), whole(r.Due),
	}
}

// number writes what a program reads: at most nine digits, no separators.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }

func whole(n int64) string { return strconv.FormatInt(n, 10) }

// known is the text of a value that may be missing.
func known[T any](value *T, text func(T) string) string {
	if value == nil {
		return ""
	}
	return text(*value)
}
