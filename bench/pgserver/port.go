package pgserver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort finds a TCP port on 127.0.0.1 that nobody listens on. It lies below the ports that systems give to
// outgoing connections, so that a server that is down for a moment doesn't lose it to one of those. Until somebody listens
// there, another process may take it.
func FreePort() (int, error) {
	var failure error
	for range 100 {
		port := 15000 + rand.IntN(32768-15000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			failure = err
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("closing a trial listener: %w", err)
		}
		return port, nil
	}
	return 0, fmt.Errorf("looking for a free port: %w", failure)
}
