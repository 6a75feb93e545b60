package sidecar

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Place is where the servers are, for people to read: without a password.
func (u *URL) Place() string {
	hosts := make([]string, 0, len(u.Server.Hosts))
	for i, host := range u.Server.Hosts {
		hosts = append(hosts, net.JoinHostPort(host, strconv.Itoa(u.port(i))))
	}
	return fmt.Sprintf("%s@%s/%s", u.Server.User, strings.Join(hosts, ","), u.Server.DBName)
}

const defaultPort = 5432

// SameDatabase reports whether another URL leads to the same database of the same servers, whoever logs in.
func (u *URL) SameDatabase(other *URL) bool {
	return u.Server.DBName == other.Server.DBName && slices.Equal(u.addresses(), other.addresses())
}

// addresses are where the servers are, with one name for all that mean this machine.
func (u *URL) addresses() []string {
	addresses := make([]string, len(u.Server.Hosts))
	for i, host := range u.Server.Hosts {
		addresses[i] = net.JoinHostPort(commonName(host), strconv.Itoa(u.port(i)))
	}
	return addresses
}

// commonName is the same for hosts that are known to be one.
func commonName(host string) string {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return host
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if isLoopback(name) {
		return "localhost"
	}
	return name
}

// isLoopback reports whether a name or an address is this machine's, and no other machine can mean it.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// port is that of the nth host.
func (u *URL) port(n int) int {
	port := 0
	if ports := u.Server.Ports; len(ports) > 0 {
		port = ports[min(n, len(ports)-1)]
	}
	return cmp.Or(port, defaultPort)
}
