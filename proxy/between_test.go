package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"carpool/proxy/wire"
)

// between listens for clients that ask for TLS, shows them a certificate of its
// own, and passes on what they say inside TLS with the proxy at address.
func between(t *testing.T, address string, shown tls.Certificate) (port int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		wait.Wait()
	})
	pass := func(client net.Conn) {
		defer client.Close()
		proxy, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer proxy.Close()
		request := make([]byte, 8)
		if _, err := io.ReadFull(client, request); err != nil {
			return
		}
		_, _ = client.Write([]byte("S"))
		_, _ = proxy.Write(wire.AppendSSLRequest(nil))
		if _, err := io.ReadFull(proxy, request[:1]); err != nil {
			return
		}
		outside := tls.Server(client, &tls.Config{Certificates: []tls.Certificate{shown}})
		inside := tls.Client(proxy, &tls.Config{InsecureSkipVerify: true})
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = io.Copy(inside, outside)
			_ = proxy.Close()
		})
		_, _ = io.Copy(outside, inside)
		_ = client.Close()
		both.Wait()
	}
	wait.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { pass(client) })
		}
	})
	return ln.Addr().(*net.TCPAddr).Port
}
