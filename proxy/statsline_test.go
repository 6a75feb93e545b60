package proxy

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStatsLine(t *testing.T) {
	before := Traffic{Transactions: 100, Queries: 1000, Sent: 7, TransactionTime: int64(time.Second)}
	now := Traffic{
		Transactions: 220, Queries: 1060, ClientParses: 60, ServerParses: 120, Binds: 180, Logins: 60,
		Received: 6000, Sent: 60007, TransactionTime: int64(time.Second + 12*time.Millisecond),
		QueryTime: int64(6 * time.Millisecond), Assignments: 3, WaitTime: int64(3 * time.Second),
	}
	for _, row := range []struct {
		before, now Traffic
		want        string
	}{
		{before, now, "stats: 2 xacts/s, 1 queries/s, 1 client parses/s, 2 server parses/s, 3 binds/s, 1 client logins/s, " +
			"in 100 B/s, out 1000 B/s, xact 100 us, query 100 us, wait 1000000 us"},
		{now, before, "stats: 0 xacts/s, 0 queries/s, 0 client parses/s, 0 server parses/s, 0 binds/s, 0 client logins/s, " +
			"in 0 B/s, out 0 B/s, xact 0 us, query 0 us, wait 0 us"},
	} {
		if got := statsLine(row.before, row.now, time.Minute); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
	if got := statsLine(before, now, 0); got[:17] != "stats: 0 xacts/s," {
		t.Error(got)
	}
}

// A line comes each stats_period, and none while log_stats is off.
func TestStatsLineEachPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &testLog{}
		p := idleProxy(t, log, "stats_period = 10")
		go p.reportStats()
		count := func(want int) {
			t.Helper()
			time.Sleep(10 * time.Second) // of the test's own clock
			synctest.Wait()
			if got := log.count("stats: 0 xacts/s"); got != want {
				t.Errorf("%d lines, want %d:\n%s", got, want, log)
			}
		}
		time.Sleep(time.Second)
		count(1)
		count(2)
		quiet := *p.Config()
		quiet.LogStats = false
		p.current.Store(&settings{Config: &quiet})
		count(2)
		p.stop()
		synctest.Wait()
	})
}
