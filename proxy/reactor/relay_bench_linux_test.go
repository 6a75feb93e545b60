package reactor

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkRelay bounces small messages through pairs of connections, as a
// pooler does between clients and servers, and reports the CPU time that the
// loop's thread spends on a round trip (two messages relayed).
func BenchmarkRelay(b *testing.B) {
	for _, poller := range pollerNames(b) {
		for _, pairs := range []int{1, 32, 100} {
			b.Run(fmt.Sprintf("%s/%d", poller, pairs), func(b *testing.B) {
				benchmarkRelay(b, poller, pairs)
			})
		}
	}
}

// cross passes everything on to the other connection.
type cross struct {
	conn  Conn
	other *cross
}

func (x *cross) Data(_ *Conn, b []byte) int { x.other.conn.Send(b); return len(b) }
func (x *cross) Drained(*Conn)              {}
func (x *cross) HangUp(*Conn)               {}
func (x *cross) EOF(*Conn)                  {}
func (x *cross) Failed(*Conn, error)        {}

func benchmarkRelay(b *testing.B, poller string, pairs int) {
	l := startLoop(b, poller)
	on(b, l, runtime.LockOSThread)
	clients, servers := make([]int, pairs), make([]int, pairs)
	for i := range pairs {
		x, y := new(cross), new(cross)
		x.other, y.other = y, x
		fd1, client := pair(b, "tcp")
		fd2, server := pair(b, "tcp")
		clients[i], servers[i] = descriptor(b, client), descriptor(b, server)
		for _, fd := range []int{clients[i], servers[i]} {
			_ = unix.SetNonblock(fd, false)
			b.Cleanup(func() { _ = unix.Close(fd) })
		}
		on(b, l, func() {
			if err := l.Attach(&x.conn, fd1, x); err != nil {
				b.Error(err)
			}
			if err := l.Attach(&y.conn, fd2, y); err != nil {
				b.Error(err)
			}
		})
	}
	query, answer := make([]byte, 40), make([]byte, 90)
	buf := make([]byte, 1000)
	all := func(from, to []int, msg []byte) {
		for _, fd := range from {
			if _, err := unix.Write(fd, msg); err != nil {
				b.Fatal(err)
			}
		}
		for _, fd := range to {
			for n := 0; n < len(msg); {
				m, err := unix.Read(fd, buf)
				if err != nil {
					b.Fatal(err)
				}
				n += m
			}
		}
	}
	before := loopTime(b, l)
	n := 0
	for b.Loop() {
		all(clients, servers, query)
		all(servers, clients, answer)
		n += pairs
	}
	spent := loopTime(b, l) - before
	b.ReportMetric(float64(spent.Nanoseconds())/float64(n), "loop-ns/roundtrip")
}

// BenchmarkBulk relays a stream, with back-pressure, and reports the CPU time
// that the loop's thread spends on a megabyte.
func BenchmarkBulk(b *testing.B) {
	for _, poller := range pollerNames(b) {
		b.Run(poller, func(b *testing.B) {
			l := startLoop(b, poller)
			on(b, l, runtime.LockOSThread)
			r := &relay{}
			inFD, source := pair(b, "tcp")
			outFD, target := pair(b, "tcp")
			on(b, l, func() {
				if err := l.Attach(&r.in, inFD, r); err != nil {
					b.Error(err)
				}
				if err := l.Attach(&r.out, outFD, sink{r}); err != nil {
					b.Error(err)
				}
			})
			const chunk = 16 << 20
			got := make([]byte, 256<<10)
			before, n := loopTime(b, l), 0
			b.SetBytes(chunk)
			for b.Loop() {
				go func() { _, _ = source.Write(make([]byte, chunk)) }()
				for left := chunk; left > 0; {
					m, err := target.Read(got)
					if err != nil {
						b.Fatal(err)
					}
					left -= m
				}
				n += chunk >> 20
			}
			b.ReportMetric(float64((loopTime(b, l)-before).Microseconds())/float64(n), "loop-us/MB")
			on(b, l, func() { r.in.Close(); r.out.Close() })
		})
	}
}

// loopTime is the CPU time of the loop's thread.
func loopTime(t testing.TB, l *Loop) (spent time.Duration) {
	on(t, l, func() {
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
			t.Error(err)
		}
		spent = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	})
	return spent
}
