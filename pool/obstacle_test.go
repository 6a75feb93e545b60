package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestObstacle(t *testing.T) {
	runScript(t, `
		quota db 2
		pool p size=1 dials=1 quota=db
		pool r size=5 dials=1 quota=db
		ask a@p -> wait, dial p
		why a -> opening
		ask b@p -> wait
		why b -> dials
		dialed p -> a=1
		why b -> size
		why a -> nothing
		ask c@r -> wait, dial r
		dialed r -> c=2
		ask d@r -> wait
		why d -> quota, db
		pause r
		why d -> paused
		resume r
		why d -> quota, db
		limit db 9 -> dial r
		why d -> opening
		failed r refused
		why d -> backoff
	`)
}

// What lies idle for long is counted apart.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(backend)
		r := start(t)
		s := b.settings()
		s.StaleAfter = 30 * time.Second
		p := r.Open(s)
		one, err := newClient().ask(p)
		if err != nil {
			t.Fatal(err)
		}
		two, err := newClient().ask(p)
		if err != nil {
			t.Fatal(err)
		}
		one.Checkin(r.Now())
		time.Sleep(20 * time.Second)
		two.Checkin(r.Now())
		for _, want := range []int{0, 1, 2} {
			if st := p.Stats(); st.Stale != want || st.Idle != 2 {
				t.Errorf("%d of %d idle are stale, want %d", st.Stale, st.Idle, want)
			}
			time.Sleep(20 * time.Second)
		}
	})
}
