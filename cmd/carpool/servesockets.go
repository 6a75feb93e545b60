package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// How a service manager hands over sockets that it has opened, as
// sd_listen_fds(3) has it.
const (
	listenPIDVariable   = "LISTEN_PID"
	listenFDsVariable   = "LISTEN_FDS"
	listenNamesVariable = "LISTEN_FDNAMES"

	firstListenFD = 3
	// metricsSocket is the FileDescriptorName= of the socket for metrics. All
	// others are for clients, whatever their names.
	metricsSocket = "metrics"
)

// handedSockets are listening sockets that somebody else has opened for us.
type handedSockets struct {
	clients []int        // descriptors
	metrics net.Listener // nil is none
}

// handedOver are the sockets that we were started with; there are none if the
// variables mean another process, such as the one that has started us.
func (p *program) handedOver() (handedSockets, error) {
	if p.variable(listenPIDVariable) != strconv.Itoa(os.Getpid()) {
		return handedSockets{}, nil
	}
	count, err := strconv.Atoi(p.variable(listenFDsVariable))
	if err != nil || count < 1 {
		return handedSockets{}, nil
	}
	var handed handedSockets
	names := strings.Split(p.variable(listenNamesVariable), ":")
	for i := range count {
		fd := firstListenFD + i
		unix.CloseOnExec(fd)
		if i >= len(names) || names[i] != metricsSocket {
			handed.clients = append(handed.clients, fd)
			continue
		}
		if handed.metrics != nil {
			return handed, errors.New("two sockets for metrics were handed over")
		}
		file := os.NewFile(uintptr(fd), metricsSocket)
		listener, err := net.FileListener(file)
		_ = file.Close() // the listener has a copy
		if err != nil {
			return handed, fmt.Errorf("the socket for metrics that was handed over: %w", err)
		}
		handed.metrics = listener
	}
	return handed, nil
}
