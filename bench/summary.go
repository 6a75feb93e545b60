package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Column is one run in a summary.
type Column struct {
	Title  string
	Result Result
	Failed error // why there is no result, nil when there is one
}

// Summary is what WriteSummary prints: a heading and runs side by side.
type Summary struct {
	Heading string // such as "the same load for 5 s each: ..."; may be empty
	Columns []Column
}

// WriteSummary prints a table with a column for each run, and below it a sentence for what a number alone would hide:
// clients that Postgres didn't take, errors by SQLSTATE, a run that failed.
func WriteSummary(w io.Writer, summary Summary) error {
	rows := []struct {
		label string
		value func(Result) string
	}{
		{"clients", func(r Result) string { return count(int64(r.Connected)) }},
		{"server connections at peak", func(r Result) string { return gauge(r.Peak.ServerConnections) }},
		{"clients waiting at peak", func(r Result) string { return gauge(r.Peak.Waiting) }},
		{"transactions", func(r Result) string { return count(r.Transactions) }},
		{"transactions a second", func(r Result) string { return count(int64(r.PerSecond() + 0.5)) }},
		{"latency, mean", func(r Result) string { return milliseconds(r.Latency.Mean) }},
		{"latency, median", func(r Result) string { return milliseconds(r.Latency.P50) }},
		{"latency, 90 %", func(r Result) string { return milliseconds(r.Latency.P90) }},
		{"latency, 99 %", func(r Result) string { return milliseconds(r.Latency.P99) }},
		{"latency, 99.9 %", func(r Result) string { return milliseconds(r.Latency.P999) }},
		{"latency, longest", func(r Result) string { return milliseconds(r.Latency.Max) }},
		{"errors", func(r Result) string { return count(total(r.Errors)) }},
	}
	table := [][]string{{""}}
	for _, column := range summary.Columns {
		table[0] = append(table[0], column.Title)
	}
	for _, row := range rows {
		line := []string{row.label}
		for _, column := range summary.Columns {
			if column.Failed != nil {
				line = append(line, "-")
			} else {
				line = append(line, row.value(column.Result))
			}
		}
		table = append(table, line)
	}
	var text strings.Builder
	if summary.Heading != "" {
		text.WriteString(summary.Heading + "\n\n")
	}
	writeTable(&text, table)
	for _, column := range summary.Columns {
		for _, note := range column.notes() {
			text.WriteString("\n" + note + "\n")
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// notes are the sentences below the table that a column needs.
func (c Column) notes() []string {
	if c.Failed != nil {
		return []string{fmt.Sprintf("%s: no result, %v", c.Title, c.Failed)}
	}
	var notes []string
	if r := c.Result; r.Connected < r.Clients {
		notes = append(notes, fmt.Sprintf("%s: only %s of the %s clients got and kept a connection.", c.Title,
			count(int64(r.Connected)), count(int64(r.Clients))))
	}
	if len(c.Result.Errors) > 0 {
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(c.Result.Errors)) {
			parts = append(parts, fmt.Sprintf("%s of %s", count(c.Result.Errors[key]), errorName(key)))
		}
		notes = append(notes, fmt.Sprintf("%s: errors: %s.", c.Title, strings.Join(parts, ", ")))
	}
	return notes
}

func errorName(key string) string {
	if len(key) == 5 {
		return "SQLSTATE " + key
	}
	return key
}

// writeTable prints rows of cells: the first column to the left, the others to the right.
func writeTable(text *strings.Builder, table [][]string) {
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range table {
		line := "  "
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line += cell + space
			} else {
				line += "   " + space + cell
			}
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// count writes a number with a comma for each thousand.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func gauge(n int) string {
	if n == NotSampled {
		return "-"
	}
	return count(int64(n))
}

// milliseconds writes a duration with three digits or so: what is read is the size.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case d == 0:
		return "-"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return count(int64(ms+0.5)) + " ms"
}

func total(errors map[string]int64) int64 {
	var sum int64
	for _, n := range errors {
		sum += n
	}
	return sum
}
