package deploy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The crowd: more worker processes than the server takes connections, three times over.
const (
	crowdDynos   = 8
	crowdWorkers = 8 // of each dyno
)

// crowd is a number of web dynos of one app.
type crowd struct {
	dynos    []*dyno
	visitors []*visitor
}

func newCrowd(b *bookstore, command string) *crowd {
	b.t.Helper()
	c := &crowd{}
	for range crowdDynos {
		port := freePort(b.t)
		c.dynos = append(c.dynos, b.startCommand("web", command, "PORT="+port, "WEB_CONCURRENCY="+fmt.Sprint(crowdWorkers)))
		c.visitors = append(c.visitors, newVisitor(port))
		c.dynos[len(c.dynos)-1].await("Listening at", 1) // nobody else gets its port
	}
	for _, d := range c.dynos {
		d.await("Booting worker", crowdWorkers)
	}
	return c
}

// stop ends all dynos, and checks that they have ended well.
func (c *crowd) stop(t *testing.T) {
	t.Helper()
	for _, d := range c.dynos {
		d.terminate()
	}
	for _, d := range c.dynos {
		if status := d.allEnded(withinGrace); status != 0 {
			t.Errorf("a dyno ends with status %d", status)
		}
	}
}

// 64 workers at once, before a server that takes 20 connections, three of them for superusers only: carpool lets each of
// the 8 dynos have two.
func TestCrowdBehindCarpool(t *testing.T) {
	b := newBookstore(t, "flask-books", "crowd_pooled")
	if status := b.release(); status != 0 {
		t.Fatalf("the release ends with status %d", status)
	}
	c := newCrowd(b, b.command("web"))
	open := b.shut()
	var answers []<-chan error
	for i, d := range c.dynos {
		answers = append(answers, ask(d, c.visitors[i], crowdWorkers))
	}
	// All 64 worker processes have a request now, and none can be answered yet.
	if got := value(t, "", "SELECT count(*) <= 16 FROM pg_stat_activity WHERE usename = '"+role+"'"); got != "t" {
		t.Error("there are more than 16 server connections")
	}
	open()
	for _, of := range answers {
		for range crowdWorkers {
			if err := <-of; err != nil {
				t.Error(err)
			}
		}
	}
	load := make(chan error, crowdDynos)
	for _, v := range c.visitors {
		go func() {
			_, err := v.visit(crowdWorkers, 2*time.Second)
			load <- err
		}()
	}
	for range c.visitors {
		if err := <-load; err != nil {
			t.Error(err)
		}
	}
	c.stop(t)
	noConnections(t)
}

// The same without carpool: some get a connection and some don't.
func TestCrowdWithoutCarpool(t *testing.T) {
	b := newBookstore(t, "flask-books", "crowd_direct")
	if status := b.release(); status != 0 {
		t.Fatalf("the release ends with status %d", status)
	}
	direct := strings.TrimPrefix(b.command("web"), "carpool exec -- ")
	c := newCrowd(b, direct)
	open := b.shut()
	var answers []<-chan error
	for i, d := range c.dynos {
		answers = append(answers, ask(d, c.visitors[i], crowdWorkers))
	}
	refused := func() (text string) {
		for _, d := range c.dynos {
			written, _ := d.output.read()
			text += written
		}
		return text
	}
	eventually(t, "the server refuses a connection", func() bool {
		text := refused()
		return strings.Contains(text, "too many clients already") || strings.Contains(text, "remaining connection slots are reserved")
	})
	open()
	failed := 0
	for _, of := range answers {
		for range crowdWorkers {
			if err := <-of; err != nil {
				failed++
			}
		}
	}
	if failed == 0 {
		t.Error("no request failed")
	}
	t.Logf("%d of %d requests failed", failed, crowdDynos*crowdWorkers)
}
