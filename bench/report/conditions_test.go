package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsMissingIsTold checks that a reader sees what wasn't measured, in every format for people.
func TestWhatIsMissingIsTold(t *testing.T) {
	lost, gone := strategy("pgbouncer", 400, 401), strategy("direct")
	lost.Failures = []string{"round 2: pgbouncer ended during the round (signal: killed)", "round 4: pgbouncer ended"}
	gone.Failures, gone.Skipped = []string{"round 1: no room"}, "it failed in round 1: no room"
	r := changed(func(r *Report) {
		r.CutOff, r.Settings.Rounds = true, 5
		r.Sweeps = []Sweep{{Setting: "pool", Points: []Point{{Value: 64, Strategies: []Strategy{{Name: "carpool", Failures: []string{"round 1: no memory."}}}}}}}
	}, strategy("carpool", 500, 501, 502), lost, gone)
	written := everyFormat(t, r)
	for _, name := range []string{"table", "markdown", "html"} {
		text := strings.Join(strings.Fields(string(written[name])), " ")
		text = strings.NewReplacer("&#39;", "'", "&amp;", "&").Replace(text)
		for _, want := range []string{
			"Stopped before the end: at most 3 of 5 rounds were measured.",
			"2 rounds of pgbouncer couldn't be measured (round 2: pgbouncer ended during the round (signal: killed); round 4: pgbouncer ended); its numbers are those of 2 rounds.",
			"wasn't run: it failed in round 1: no room",
			"carpool wasn't measured at pool=64: round 1: no memory",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
		if strings.Count(text, "no room") != 1 {
			t.Errorf("%s tells twice why a strategy didn't run", name)
		}
	}
}

func TestCutOff(t *testing.T) {
	for _, test := range []struct {
		name string
		r    Report
		want string
	}{
		{"complete", Report{Settings: Settings{Rounds: 2}, Strategies: []Strategy{strategy("none", 1)}}, ""},
		{"early", Report{CutOff: true, Settings: Settings{Rounds: 1}}, "Stopped before the end: at most 0 of 1 round was measured."},
		{"late", Report{CutOff: true, Settings: Settings{Rounds: 2}, Strategies: []Strategy{strategy("none", 1, 1), strategy("direct", 1)}}, "Stopped before the end, in the last of 2 rounds."},
		{"sweeps", Report{CutOff: true, Settings: Settings{Rounds: 2}, Strategies: []Strategy{strategy("none", 1, 1), strategy("direct", 1, 1)}}, "Stopped before the end: not everything was measured."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := cutOff(test.r); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestColumnsOfARate checks that nothing is told that a rate makes meaningless.
func TestColumnsOfARate(t *testing.T) {
	r := fixture(1, 1)
	r.Settings.Rate, r.Strategies[0].Rounds[0].Unstarted, r.Advice, r.Warnings = 400, 500, nil, nil
	Finish(&r)
	if r.Sweeps[0].Knee != 0 {
		t.Errorf("the pool has a knee at %d", r.Sweeps[0].Knee)
	}
	for _, head := range outcomeGrid(r).heads {
		if strings.Contains(head, "none") || strings.Contains(head, "10,000") || strings.Contains(head, "lecture") {
			t.Errorf("there is a column %q", head)
		}
	}
	if !slices.Contains(outcomeGrid(r).heads, "begun\ntoo late") {
		t.Error("the share of late calls isn't told")
	}
	for name, text := range everyFormat(t, r) {
		if name != "json" && bytes.Contains(text, []byte("x as many")) {
			t.Errorf("%s compares calls a second", name)
		}
	}
	if !strings.Contains(strings.Join(story(r), " "), "kept up with 400/s; none didn't: 6 % of its calls came too late to begin") {
		t.Errorf("the story is %q", story(r))
	}
}

func TestColumnOfIdleConnections(t *testing.T) {
	idle := strategy("carpool", 500, 501)
	idle.Rounds[0].IdleConnections, idle.Rounds[1].IdleConnections = 10_000, 9_999
	r := changed(func(r *Report) { r.Settings.IdleClients = 10_000 }, strategy("none", 100, 101), idle)
	at := slices.Index(outcomeGrid(r).heads, "idle\nconns")
	if at < 0 {
		t.Fatalf("the columns are %q", outcomeGrid(r).heads)
	}
	if rows := outcomeGrid(r).rows; rows[0][at] != "0" || rows[1][at] != "9,999" {
		t.Errorf("the cells are %q and %q", rows[0][at], rows[1][at])
	}
}

func TestPoolerAtTheURLIsNotPostgres(t *testing.T) {
	r := fixture(1, 1)
	r.Environment.Pooled, r.Environment.Private, r.Advice, r.Warnings = true, false, nil, nil
	Finish(&r)
	for _, text := range append(story(r), r.Advice...) {
		if strings.Contains(text, "Postgres") {
			t.Errorf("it is told: %s", text)
		}
	}
	if page := everyFormat(t, r)["html"]; bytes.Contains(page, []byte("connection to Postgres")) {
		t.Error("the page explains connections to Postgres")
	}
}

// TestLegendOfOneRound checks that a column isn't explained that a single round
// doesn't have.
func TestLegendOfOneRound(t *testing.T) {
	for rounds, want := range map[int]bool{1: false, 2: true} {
		r := finished(strategy("none", []int64{1000, 1100}[:rounds]...))
		if got := strings.Contains(strings.Join(legend(r), " "), "farthest round"); got != want {
			t.Errorf("%d rounds: %q", rounds, legend(r))
		}
	}
}
