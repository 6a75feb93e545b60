package deploy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sample is one line of a scrape: its labels, its name apart.
type sample map[string]string

// scrape is all samples of one, by name.
type scrape map[string][]sample

var (
	sampleLine  = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$`)
	sampleLabel = regexp.MustCompile(`([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"`)
)

// parseScrape reads Prometheus's text format.
func parseScrape(text string) (scrape, error) {
	s := make(scrape)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("not a sample: %s", line)
		}
		one := make(sample)
		for _, l := range sampleLabel.FindAllStringSubmatch(m[2], -1) {
			one[l[1]] = l[2]
		}
		s[m[1]] = append(s[m[1]], one)
	}
	return s, nil
}

var (
	selector = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\s*(\{[^{}]*\})?`)
	matcher  = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`)
	duration = regexp.MustCompile(`\[[^\]]*\]`)
	variable = regexp.MustCompile(`\$\w+|\$\{\w+\}`)
)

// functions are those that queries use, with the suffixes that they want of a metric's name.
var functions = map[string][]string{
	"sum": nil, "max": nil, "histogram_quantile": nil, "label_values": nil,
	"rate": {"_total", "_bucket", "_sum", "_count"},
}

// check finds what is wrong with a query: names that the scrape doesn't have, labels that they don't carry, values that nothing
// has. Of labels, instance and job come from Prometheus.
func (s scrape) check(query string) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(query, pair[:1]) != strings.Count(query, pair[1:]) {
			complain("unbalanced %s", pair)
		}
	}
	labels := make(map[string]bool) // that any of its metrics has
	var grouped []string
	rest := grouping.ReplaceAllStringFunc(query, func(g string) string {
		for name := range strings.SplitSeq(grouping.FindStringSubmatch(g)[1], ",") {
			grouped = append(grouped, strings.TrimSpace(name))
		}
		return ""
	})
	rest = duration.ReplaceAllString(rest, "")
	rest, asked, isVariable := strings.Cut(rest, "label_values(")
	if isVariable {
		metric, label, _ := cutLast(strings.TrimSuffix(asked, ")"), ",")
		rest, grouped = rest+metric, append(grouped, strings.TrimSpace(label))
	}
	metrics := 0
	for _, at := range selector.FindAllStringSubmatchIndex(rest, -1) {
		name, behind := rest[at[2]:at[3]], strings.TrimSpace(rest[at[1]:])
		if _, function := functions[name]; function && strings.HasPrefix(behind, "(") {
			continue
		}
		metrics++
		samples, known := s[name]
		if !known {
			complain("no metric %s", name)
			continue
		}
		before := strings.TrimSpace(rest[:at[0]])
		if rated := strings.HasSuffix(before, "rate("); rated != slices.ContainsFunc(functions["rate"], func(suffix string) bool { return strings.HasSuffix(name, suffix) }) {
			complain("%s: a counter is rated, a gauge isn't", name)
		}
		matchers := ""
		if at[4] >= 0 {
			matchers = rest[at[4]:at[5]]
		}
		for _, wrongMatch := range mismatches(samples, matchers) {
			complain("%s: %s", name, wrongMatch)
		}
		for label := range samples[0] {
			labels[label] = true
		}
	}
	if metrics == 0 {
		complain("no metric at all")
	}
	for _, label := range grouped {
		if !labels[label] && label != "instance" {
			complain("grouped by %s, which nothing has", label)
		}
	}
	if strings.Contains(query, "histogram_quantile") && !slices.Contains(grouped, "le") {
		complain("a quantile of buckets that aren't grouped by le")
	}
	return wrong
}

// mismatches are matchers that no sample fits, but for what a variable stands for.
func mismatches(samples []sample, matchers string) (wrong []string) {
	left := strings.Trim(matcher.ReplaceAllString(matchers, ""), "{}, ")
	if left != "" {
		wrong = append(wrong, "not a matcher: "+left)
	}
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		label, value := m[1], m[3]
		if label == "instance" || label == "job" {
			continue
		}
		fits := func(one sample) bool {
			got, has := one[label]
			return has && (variable.MatchString(value) || got == value)
		}
		if !slices.ContainsFunc(samples, fits) {
			wrong = append(wrong, "nothing has "+m[0])
		}
	}
	return wrong
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// The check finds what there is to find.
func TestQueryCheck(t *testing.T) {
	s, err := parseScrape(`# HELP a_total x
a_total{code="1",user="a, \"b\" {c}"} 5
b_seconds_bucket{le="0.5"} 1
b_seconds_bucket{le="+Inf"} 1e+06
c{state="idle"} 0
d 1
`)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		`sum by (code) (rate(a_total{instance=~"$instance", user=~"$user"}[$__rate_interval]))`: "",
		`histogram_quantile(0.5, sum by (le) (rate(b_seconds_bucket[5m])))`:                     "",
		`c{state="idle"} / sum(d > 0)`:                  "",
		`label_values(c{instance=~"$instance"}, state)`: "",
		`sum(e)`:                  "no metric e",
		`sum(c`:                   "unbalanced ()",
		`c{state="active"}`:       `c: nothing has state="active"`,
		`c{colour=~"$colour"}`:    `c: nothing has colour=~"$colour"`,
		`sum by (colour) (c)`:     "grouped by colour, which nothing has",
		`rate(c[5m])`:             "c: a counter is rated, a gauge isn't",
		`a_total`:                 "a_total: a counter is rated, a gauge isn't",
		`label_values(c, colour)`: "grouped by colour, which nothing has",
		`histogram_quantile(0.5, sum(rate(b_seconds_bucket[5m])))`: "a quantile of buckets that aren't grouped by le",
		`c{state=idle}`: "c: not a matcher: state=idle",
		`1 + 1`:         "no metric at all",
	} {
		if got := strings.Join(s.check(query), "; "); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", query, got, want)
		}
	}
}
