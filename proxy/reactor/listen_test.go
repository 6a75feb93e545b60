package reactor

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// doorman accepts everything.
type doorman struct {
	accept func(ln *Listener, fd int, peer netip.AddrPort)
	failed func(err error) // never has seen to it
}

func (d *doorman) Accept(ln *Listener, fd int, peer netip.AddrPort) { d.accept(ln, fd, peer) }
func (d *doorman) AcceptFailed(_ *Listener, err error) bool         { d.failed(err); return false }

// listenOn returns a listening socket.
func listenOn(t testing.TB) (fd int, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return fd, ln.Addr().String()
}

// TestListen takes in more than one batch, and tells where they come from.
func TestListen(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		const n = 3*acceptBatch + 1
		l := startLoop(t, poller)
		fd, addr := listenOn(t)
		var peers []net.Conn
		for range n {
			peer, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			peers = append(peers, peer)
		}
		p := newProbe()
		p.data = func(c *Conn, b []byte) int { c.Send(b); return len(b) }
		p.eof = func(c *Conn) { c.Close() }
		ports := map[int]bool{}
		d := &doorman{failed: func(err error) { t.Error(err) }}
		d.accept = func(_ *Listener, fd int, peer netip.AddrPort) {
			ports[int(peer.Port())] = true
			if err := l.Attach(new(Conn), fd, p); err != nil {
				t.Error(err)
			}
		}
		var ln *Listener
		on(t, l, func() {
			var err error
			if ln, err = l.Listen(fd, d); err != nil {
				t.Error(err)
			}
		})
		for _, peer := range peers {
			write(t, peer, []byte("hello"))
			readFull(t, peer, []byte("hello"))
		}
		on(t, l, func() {
			for _, peer := range peers {
				if !ports[peer.LocalAddr().(*net.TCPAddr).Port] {
					t.Errorf("%v wasn't announced", peer.LocalAddr())
				}
			}
			ln.Close()
			ln.Close()
		})
		if late, err := net.Dial("tcp", addr); err == nil {
			late.Close()
			t.Error("it listens after Close")
		}
	})
}

// TestListenerClosesInAccept: the rest of the batch isn't taken in.
func TestListenerClosesInAccept(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		fd, addr := listenOn(t)
		for range 3 {
			peer, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
		}
		accepted := make(chan int, 3)
		d := &doorman{failed: func(err error) { t.Error(err) }}
		d.accept = func(ln *Listener, fd int, _ netip.AddrPort) {
			ln.Close()
			_ = unix.Close(fd)
			accepted <- fd
		}
		on(t, l, func() {
			if _, err := l.Listen(fd, d); err != nil {
				t.Error(err)
			}
		})
		await(t, accepted, "a connection")
		settle(t, l, 2)
		if n := len(accepted); n != 0 {
			t.Errorf("%d more were accepted", n)
		}
	})
}

// TestListenerPauses: who comes meanwhile waits in the backlog.
func TestListenerPauses(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		l := startLoop(t, poller)
		fd, addr := listenOn(t)
		accepted := make(chan int, 1)
		d := &doorman{failed: func(err error) { t.Error(err) }}
		d.accept = func(_ *Listener, fd int, _ netip.AddrPort) {
			_ = unix.Close(fd)
			accepted <- fd
		}
		var ln *Listener
		on(t, l, func() {
			var err error
			if ln, err = l.Listen(fd, d); err != nil {
				t.Error(err)
			}
			ln.Pause()
			ln.Pause()
		})
		peer, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		settle(t, l, 2)
		if len(accepted) != 0 {
			t.Error("a connection was accepted in the pause")
		}
		on(t, l, func() { ln.Resume() })
		await(t, accepted, "the connection")
		on(t, l, func() {
			ln.Close()
			ln.Resume() // harmless
		})
	})
}

// fewDescriptors is the first argument of this test binary when it is started
// again with few descriptors to spend; the poller is the second.
const fewDescriptors = "-few-descriptors"

// TestOutOfDescriptors: the listener rests instead of turning without end, those
// inside are served, and it goes on when there are descriptors again. It is
// done in a process of its own.
func TestOutOfDescriptors(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		cmd := exec.Command(os.Args[0], fewDescriptors, poller)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		limit := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer limit.Stop()
		defer func() { _ = cmd.Process.Kill() }()
		lines := bufio.NewScanner(out)
		say := func(want string) {
			t.Helper()
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("it says %q, want %q", lines.Text(), want)
			}
		}
		if !lines.Scan() {
			t.Fatal("it doesn't listen")
		}
		addr := lines.Text()
		knock := func() net.Conn {
			t.Helper()
			peer, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = peer.Close() })
			if err := peer.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			return peer
		}
		inside := knock()
		write(t, inside, []byte("e"))
		readFull(t, inside, []byte("e"))
		for {
			knock()
			_, _ = fmt.Fprintln(in, "full?")
			if !lines.Scan() {
				t.Fatal("it ended")
			}
			if lines.Text() == "full" {
				break
			}
		}
		last := knock()
		say("rested with few turns") // after some rests
		write(t, inside, []byte("e"))
		readFull(t, inside, []byte("e"))
		_, _ = fmt.Fprintln(in, "give some back")
		say("given")
		write(t, last, []byte("e"))
		readFull(t, last, []byte("e"))
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// runShortOfDescriptors is the other process.
func runShortOfDescriptors() int {
	l, err := NewLoop(0, time.Now(), os.Args[2])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	sock, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	file, err := sock.(*net.TCPListener).File()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	listenFD := int(file.Fd())
	_ = unix.SetNonblock(listenFD, true)
	var hoard []int // descriptors to give back
	for range 8 {
		if fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err == nil {
			hoard = append(hoard, fd)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 40, Max: 40}); err != nil {
		fmt.Println(err)
		return 1
	}
	failures, turns := 0, uint64(0)
	told := false
	p := newProbe()
	p.data = func(c *Conn, b []byte) int { c.Send(b); return len(b) }
	p.eof = func(c *Conn) { c.Close() }
	d := &doorman{}
	d.accept = func(_ *Listener, fd int, _ netip.AddrPort) {
		if err := l.Attach(new(Conn), fd, p); err != nil {
			fmt.Println(err)
		}
	}
	d.failed = func(error) {
		if failures++; failures == 1 {
			turns = l.turns
		}
		if told && failures >= 4 && turns > 0 {
			if l.turns-turns <= 30 {
				fmt.Println("rested with few turns")
			} else {
				fmt.Println("turns:", l.turns-turns)
			}
			turns = 0
		}
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	l.Post(TaskFunc(func() {
		if _, err := l.Listen(listenFD, d); err != nil {
			fmt.Println(err)
		}
		fmt.Println(sock.Addr())
	}))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer := make(chan string)
		l.Post(TaskFunc(func() {
			switch {
			case lines.Text() != "full?":
				for _, fd := range hoard {
					_ = unix.Close(fd)
				}
				answer <- "given"
			case failures > 0:
				told = true
				answer <- "full"
			default:
				answer <- "not yet"
			}
		}))
		fmt.Println(<-answer)
	}
	l.Stop()
	if err := <-done; err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
