package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carpool/proxy/notify"
	"carpool/proxy/wire"
)

// listener is one client of very many: little more than a socket.
type listener struct {
	conn net.Conn
	in   *bufio.Reader
	own  string // its channel
	last int    // of the channel that is everybody's
	mine int    // how many on its own
}

// message reads one message.
func (l *listener) message() (typ byte, body []byte, err error) {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(l.in, head[:]); err != nil {
		return 0, nil, err
	}
	h, _, valid := wire.ParseHeader(head[:])
	if !valid || h.Body > 1<<16 {
		return 0, nil, fmt.Errorf("header %x", head)
	}
	body = make([]byte, h.Body)
	_, err = io.ReadFull(l.in, body)
	return h.Type, body, err
}

// ready reads up to ReadyForQuery.
func (l *listener) ready() error {
	for {
		switch typ, body, err := l.message(); {
		case err != nil:
			return err
		case typ == wire.ErrorResponse:
			return fmt.Errorf("%+v", wire.ParseReport(body))
		case typ == wire.ReadyForQuery:
			return nil
		}
	}
}

// begin logs in and listens.
func (l *listener) begin(address string) (err error) {
	if err = l.login(address); err != nil {
		return err
	}
	return l.ask("LISTEN " + l.own + "; LISTEN everybody")
}

func (l *listener) ask(sql string) error {
	if _, err := l.conn.Write(wire.AppendQuery(nil, sql)); err != nil {
		return err
	}
	return l.ready()
}

// login logs in.
func (l *listener) login(address string) (err error) {
	if l.conn, err = net.Dial("tcp", address); err != nil {
		return err
	}
	_ = l.conn.SetDeadline(time.Now().Add(time.Minute))
	l.in = bufio.NewReaderSize(l.conn, 512)
	if _, err = l.conn.Write(startupPacket("postgres", "app")); err != nil {
		return err
	}
	return l.ready()
}

// hear reads notifications up to the last one for everybody.
func (l *listener) hear(last int) error {
	for l.last < last {
		typ, body, err := l.message()
		if err != nil {
			return fmt.Errorf("after %d: %w", l.last, err)
		}
		_, channel, payload, ok := notify.ParseNote(body)
		switch {
		case typ != wire.NotificationResponse || !ok:
			return fmt.Errorf("got %q", typ)
		case string(channel) == l.own && string(payload) == l.own:
			l.mine++
		case string(channel) == "everybody" && string(payload) == fmt.Sprint(l.last+1):
			l.last++
		default:
			return fmt.Errorf("got %s:%s after %d", channel, payload, l.last)
		}
	}
	return nil
}

// each does something with all listeners, many at a time.
func each(list []listener, f func(*listener) error) error {
	var wait sync.WaitGroup
	var next atomic.Int64
	var failure atomic.Pointer[error]
	for range 100 {
		wait.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(list) && failure.Load() == nil; i = next.Add(1) - 1 {
				if err := f(&list[i]); err != nil {
					err = fmt.Errorf("listener %d: %w", i, err)
					failure.Store(&err)
				}
			}
		})
	}
	wait.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Hundreds of clients listen, each on its own channel and on one that is
// everybody's, with a single server in the pool.
func TestHundredsListenWithOneServer(t *testing.T) {
	const listeners, size, loud = 400, 1, 20
	p := startPooler(t, fmt.Sprintf("pool_mode = transaction\ndefault_pool_size = %d\nevent_loops = 2\nmax_client_conn = 6000\nlisten_backlog = 1000\n", size))
	list := make([]listener, listeners)
	start := time.Now()
	for i := range list {
		list[i].own = fmt.Sprintf("own_%d", i)
	}
	t.Cleanup(func() {
		for i := range list {
			if list[i].conn != nil {
				_ = list[i].conn.Close()
			}
		}
	})
	if err := each(list, func(l *listener) error { return l.begin(p.address()) }); err != nil {
		t.Fatal(err)
	}
	p.multiplexed()
	begun := time.Since(start)
	const backends = "select count(*) from pg_stat_activity where datname = 'app' and backend_type = 'client backend'"
	if n := count(t, postgres, backends); n > size+1 {
		t.Errorf("%d server connections", n)
	}
	if n := count(t, postgres, backends+" and application_name = '"+hubName+"'"); n != 1 {
		t.Errorf("%d server connections listen", n)
	}
	if st := p.ListenStats()[0]; st.Channels != listeners+1 || st.Listeners != listeners {
		t.Errorf("%+v", st)
	}
	start = time.Now()
	sender := talk(t, postgres.Address())
	for i := 0; i < listeners; i += 100 {
		var sql strings.Builder
		for j := range 100 {
			fmt.Fprintf(&sql, "notify own_%d, 'own_%[1]d';", i+j)
		}
		sender.run(sql.String())
	}
	for i := range loud {
		sender.run(fmt.Sprintf("notify everybody, '%d'", i+1))
	}
	if err := each(list, func(l *listener) error { return l.hear(loud) }); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].mine != 1 {
			t.Fatalf("listener %d got %d notifications on its own channel", i, list[i].mine)
		}
	}
	t.Logf("%d clients listen after %v; %d notifications with %d deliveries after %v",
		listeners, begun.Round(time.Millisecond), listeners+loud, listeners+listeners*loud, time.Since(start).Round(time.Millisecond))
}
