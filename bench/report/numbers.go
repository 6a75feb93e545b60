package report

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// count writes a number with a comma for each thousand.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// amount writes a positive number with about three digits, and with all of those before the point.
func amount(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case v == 0:
		return "0"
	case v < 0.0995:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case v < 9.95:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.5:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return rounded(v)
}

// rounded writes a number without a fraction.
func rounded(v float64) string {
	if math.Abs(v) > 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return count(int64(math.Round(v)))
}

// rate writes calls a second for a sentence.
func rate(v float64) string { return amount(v) + "/s" }

// latency writes seconds as a reader of latencies expects them.
func latency(seconds float64) string {
	ms := seconds * 1e3
	switch {
	case ms < 0.0995:
		return strconv.FormatFloat(ms, 'f', 3, 64) + " ms"
	case ms < 9.995:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	case ms < 9_999.5:
		return amount(ms) + " ms"
	}
	return amount(seconds) + " s"
}

// tick writes a round number of an axis: no more digits than it has.
func tick(v float64) string {
	if v >= 1000 {
		return rounded(v)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// exact writes a number that somebody has given, as it was given.
func exact(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// factor writes how many times as much.
func factor(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case v < 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64) + "x"
	}
	return rounded(v) + "x"
}

// percent writes a share without a sign.
func percent(share float64) string {
	p := math.Abs(share) * 100
	if p > 0 && p < 0.95 {
		return strconv.FormatFloat(p, 'g', 1, 64) + " %"
	}
	return rounded(p) + " %"
}

// size writes bytes in units of a million.
func size(bytes int64) string {
	switch mb := float64(bytes) / 1e6; {
	case mb >= 9_999.5:
		return amount(mb/1e3) + " GB"
	default:
		return amount(mb) + " MB"
	}
}

// printable is text from elsewhere, such as a server's message, on one line and without what would steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, text)
}

// sentence is printable text with the full stop that it may lack.
func sentence(text string) string {
	text = strings.TrimSpace(printable(text))
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?:") {
		return text
	}
	return text + "."
}

// list joins words with commas and a final "and".
func list(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
