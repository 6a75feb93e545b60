package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// child is a Serve under test, seen from its parent.
type child struct {
	in    *io.PipeWriter
	lines *bufio.Scanner
	ended chan error
}

func serve(t *testing.T, first string) *child {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &child{in: inW, lines: bufio.NewScanner(outR), ended: make(chan error, 1)}
	c.lines.Buffer(nil, longestLine)
	go func() {
		c.ended <- Serve(t.Context(), inR, outW)
		outW.Close()
	}()
	t.Cleanup(func() {
		inW.Close()
		outR.Close()
	})
	c.say(t, first)
	return c
}

func (c *child) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear is the next message that isn't progress.
func (c *child) hear(t *testing.T) message {
	t.Helper()
	for c.lines.Scan() {
		var m message
		if err := json.Unmarshal(c.lines.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", c.lines.Text(), err)
		}
		if m.Progress == nil {
			return m
		}
	}
	t.Fatal("the child says no more")
	return message{}
}

func jobLine(t *testing.T, j Job) string {
	t.Helper()
	line, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestServeSpeaksTheProtocol(t *testing.T) {
	_, place := tables(t, "books")
	j := job(Kept, place, 3)
	j.Calls = 50
	c := serve(t, jobLine(t, j))
	if m := c.hear(t); m.Ready == nil || *m.Ready != (Ready{Connected: 3}) {
		t.Fatalf("got %+v", m)
	}
	c.say(t, "go")
	if m := c.hear(t); m.Result == nil || m.Result.Calls != 50 {
		t.Fatalf("got %+v", m)
	}
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
}

func TestServeWaitsForEveryWave(t *testing.T) {
	_, place := tables(t, "storm")
	j := job(Kept, place, 3)
	j.Workload, j.Duration = "storm", time.Minute
	c := serve(t, jobLine(t, j))
	for range 4 {
		if m := c.hear(t); m.Ready == nil {
			t.Fatalf("got %+v", m)
		}
		c.say(t, "go")
	}
	if m := c.hear(t); m.Ready == nil {
		t.Fatalf("got %+v", m)
	}
	c.say(t, "stop")
	if m := c.hear(t); m.Result == nil || m.Result.Calls != 12 {
		t.Fatalf("got %+v", m)
	}
}

func TestServeEndsWithItsParent(t *testing.T) {
	j := Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: Simple, Workload: "sleep", Script: "SELECT pg_sleep(60);", Clients: 2, Duration: time.Minute}
	for _, started := range []bool{false, true} {
		c := serve(t, jobLine(t, j))
		if m := c.hear(t); m.Ready == nil {
			t.Fatalf("got %+v", m)
		}
		if started {
			c.say(t, "go")
		}
		began := time.Now()
		c.in.Close()
		for c.lines.Scan() {
		}
		if err := <-c.ended; !errors.Is(err, errParentGone) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v to end", took)
		}
	}
}

func TestServeTellsWhyItCannot(t *testing.T) {
	for _, test := range []struct{ job, want string }{
		{"nonsense", "reading the benchmark's job"},
		{"{}", "no workload"},
		{jobLine(t, Job{Technique: Kept, URL: "postgres://u:se%27cret@127.0.0.1:1/d", Protocol: Simple, Workload: "books", Clients: 1, Calls: 1}), "connection refused"},
		{jobLine(t, Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: Simple, Workload: "x.sql", Script: "\\bogus", Clients: 1, Calls: 1}), "bogus"},
	} {
		c := serve(t, test.job)
		if m := c.hear(t); !strings.Contains(m.Failed, test.want) || strings.Contains(m.Failed, "cret") || strings.Contains(m.Failed, "\n") {
			t.Errorf("%s: got %+v, want %s", test.job, m, test.want)
		}
		if err := <-c.ended; err == nil {
			t.Errorf("%s: no error", test.job)
		}
	}
}
