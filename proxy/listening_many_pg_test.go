package proxy

import (
	"context"
	"fmt"
	"testing"

	"carpool/bench/pgserver"
	"carpool/bench/pgserver/pgtest"
	"carpool/proxy/state"
)

// One client that listens on very many channels.

// many is a text that says LISTEN for the channels many_1 to many_n.
func many(n int) string {
	return fmt.Sprintf("do $$begin for i in 1..%d loop execute 'listen many_' || i; end loop; end$$", n)
}

// notifyMany is a text that notifies them all.
func notifyMany(n int) string {
	return fmt.Sprintf("select count(pg_notify('many_' || i, i::text)) from generate_series(1, %d) i", n)
}

// hearsMany waits for a notification on each of them, in their order.
func (k *talker) hearsMany(n int) {
	k.t.Helper()
	for i := 1; i <= n; i++ {
		for len(k.heard) == 0 {
			k.next()
		}
		if got, want := k.heard[0].String(), fmt.Sprintf("many_%d:%[1]d", i); got != want {
			k.t.Fatalf("heard %s, want %s", got, want)
		}
		k.heard = k.heard[1:]
	}
}

func TestManyChannelsOfOneClient(t *testing.T) {
	p := startPooler(t, listenSettings)
	k, sender := talk(t, p.address()), talk(t, postgres.Address())
	k.run("listen "+fence, many(maxChannels-1))
	eventually(t, "the server to listen no more", func() bool { return unlistenedServers(t) == 1 })
	sender.run(notifyMany(maxChannels - 1))
	k.hearsMany(maxChannels - 1)
	k.run("listen many_1; unlisten many_2", "begin; unlisten *; listen many_3; rollback")
	sender.run("notify many_1; notify many_2; notify many_3")
	if got := k.everything(); got != "many_1: many_3:" {
		t.Errorf("heard %q", got)
	}
	k.run("begin; unlisten *; listen many_3; listen "+fence, "unlisten many_3", "listen many_4; commit")
	eventually(t, "the hub to be told", func() bool { return p.ListenStats()[0].Channels == 2 })
	sender.run(notifyMany(10))
	if got := k.everything(); got != "many_4:4" {
		t.Errorf("heard %q", got)
	}
}

// Beyond what can be asked about, the client keeps its server, and loses nothing
// by what has gone over to the hub.
func TestMoreChannelsThanCanBeFollowed(t *testing.T) {
	const n = state.MaxFound + 1
	server := pgtest.Start(t, pgserver.Options{Roles: []pgserver.Role{{Name: "narrow", Password: ""}}, Databases: []string{"app"}})
	limit := func(n int) {
		if err := server.Exec(context.Background(), "postgres", fmt.Sprintf("alter role narrow connection limit %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // no hub
	p := startPooler(t, listenSettings+"[databases]\n"+on(server, "app", "user=narrow"))
	k := talk(t, p.address())
	k.run("listen "+fence, many(n))
	eventually(t, "the pin to be shown", func() bool { return len(p.Pins()) == 1 })
	limit(-1)
	p.hubPID()
	sender := talk(t, server.Address())
	for range 2 { // while what the hub can have goes over to it
		sender.run(notifyMany(n))
		k.hearsMany(n)
	}
	k.run("discard all")
	p.multiplexed()
}
