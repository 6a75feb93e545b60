package proxy

import (
	"testing"

	"carpool/proxy/reactor"
)

// Notifications that are on their way to a client when it listens no more.

// withInbox has something done on the loop of the only client that listens.
func (p *pooler) withInbox(do func(*inbox)) {
	p.t.Helper()
	done := make(chan bool)
	p.workers[0].Post(reactor.TaskFunc(func() {
		p.workers[0].each(func(s *session) {
			if s.listening != nil && s.listening.inbox != nil {
				do(s.listening.inbox)
			}
		})
		close(done)
	}))
	<-done
}

// What is in the queue, or hasn't even been looked at, when an UNLISTEN comes to
// stand doesn't come behind it; when it is taken back, it comes.
func TestQueuedNotificationsAndUnlisten(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string // in the transaction, before the notifications
		after  []string
		want   string // behind the answer
	}{
		{"unlisten", nil, []string{"unlisten a", "commit"}, "b:2"},
		{"unlisten before", []string{"unlisten a"}, []string{"commit"}, "b:2"},
		{"unlisten all", nil, []string{"unlisten *; listen b; listen fence; commit"}, "b:2"},
		{"in one text", nil, []string{"unlisten a; commit; select 1"}, "b:2"},
		{"in the extended protocol", nil, []string{"x:unlisten a", "x:commit"}, "b:2"},
		{"and a notification of its own", nil, []string{"notify a, '4'; unlisten a", "commit"}, "b:2"},
		{"and the next transaction", nil, []string{"unlisten a", "commit and chain", "select 1", "rollback"}, "b:2"},
		{"rolled back", nil, []string{"unlisten a", "rollback"}, "a:1 b:2 a:3"},
		{"rolled back to a savepoint", nil, []string{"savepoint s; unlisten a", "rollback to s", "commit"}, "a:1 b:2 a:3"},
		{"rolled back to a savepoint from before", []string{"savepoint s", "unlisten a"}, []string{"rollback to s", "commit"}, "a:1 b:2 a:3"},
		{"again behind a savepoint", []string{"savepoint s", "unlisten a"}, []string{"rollback to s", "unlisten b", "commit"}, "a:1 a:3"},
		{"released", []string{"savepoint s", "unlisten a"}, []string{"release s", "commit"}, "b:2"},
		{"failed", nil, []string{"unlisten a", "select 1/0", "commit"}, "a:1 b:2 a:3"},
	} {
		for _, held := range []bool{false, true} {
			name := tt.name
			if held {
				name += ", not looked at"
			}
			t.Run(name, func(t *testing.T) {
				p := startPooler(t, listenSettings+"event_loops = 1\n")
				k, sender := talk(t, p.address()), talk(t, postgres.Address())
				k.run("listen a; listen b", "listen "+fence)
				p.multiplexed()
				k.run("begin; select 1")
				k.run(tt.before...)
				if held {
					p.withInbox(func(b *inbox) {
						b.mu.Lock()
						b.posted = true // so that it isn't posted again
						b.mu.Unlock()
					})
				}
				sender.run("notify a, '1'", "notify b, '2'", "notify a, '3'")
				eventually(t, "them to be brought", func() bool { return p.ListenStats()[0].Delivered == 3 })
				p.withInbox(func(*inbox) {}) // what was posted has been looked at
				k.run(tt.after...)
				if held {
					p.withInbox(func(b *inbox) { b.Run(nil) })
				}
				if got := k.everything(); got != tt.want {
					t.Errorf("heard %q, want %q", got, tt.want)
				}
			})
		}
	}
}
