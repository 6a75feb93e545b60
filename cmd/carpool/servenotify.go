package main

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifyVariable names the socket on which systemd, or who else has started us,
// wants to hear how things stand.
const notifyVariable = "NOTIFY_SOCKET"

// notifyTime bounds how long a full socket of the service manager holds us up.
const notifyTime = time.Second

// serviceManager is told how things stand, as sd_notify(3) has it. With no
// socket there is none, and nothing is told.
type serviceManager struct {
	socket string
	log    *slog.Logger
}

// ready tells that clients get in.
func (m serviceManager) ready(addresses []string) {
	m.tell("READY=1", "STATUS=listening on "+strings.Join(addresses, ", "))
}

// reloading tells that a reload has begun, and when: a service of the type
// notify-reload has to.
func (m serviceManager) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		m.log.Debug("the monotonic clock can't be read", "error", err)
		return
	}
	m.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
}

// reloaded tells that the reload is over, whatever came of it.
func (m serviceManager) reloaded() { m.tell("READY=1") }

// stopping tells that the end has begun.
func (m serviceManager) stopping() {
	m.tell("STOPPING=1", "STATUS=waiting for clients and transactions to end")
}

// tell sends assignments as one datagram. That nobody takes it is no reason to
// end.
func (m serviceManager) tell(assignments ...string) {
	if m.socket == "" {
		return
	}
	// A name that begins with @ is an abstract one, here as there.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err == nil {
		defer conn.Close()
		_ = conn.SetWriteDeadline(time.Now().Add(notifyTime)) // it can't fail on a fresh socket
		_, err = conn.Write([]byte(strings.Join(assignments, "\n") + "\n"))
	}
	if err != nil {
		m.log.Warn("the service manager can't be told how things stand", "socket", m.socket, "error", err)
	}
}
