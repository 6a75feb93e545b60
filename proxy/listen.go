package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"carpool/config"

	"golang.org/x/sys/unix"
)

// socket is a listening socket before a loop has it.
type socket struct {
	fd   int
	addr string      // as logs name it
	path string      // of a Unix socket in the file system
	file os.FileInfo // of path, when it was made
	tcp  bool
	// inherited: somebody else opened it, and goes on with it when we are gone.
	inherited bool
}

// openSockets opens every address that the configuration names. On an error
// none is left open. takeOver is whether a Unix socket that another process
// answers on is in the way.
func openSockets(c *config.Config, takeOver bool) (list []socket, err error) {
	defer func() {
		if err != nil {
			for _, s := range list {
				s.close()
			}
			list = nil
		}
	}()
	for _, host := range c.ListenAddr {
		addresses, err := resolveListen(host, c.ListenPort)
		if err != nil {
			return list, err
		}
		for _, addr := range addresses {
			s, err := listenTCP(addr, c)
			if err != nil {
				if host == "*" && len(list) > 0 && errors.Is(err, unix.EAFNOSUPPORT) {
					continue // no IPv6 here
				}
				return list, err
			}
			list = append(list, s)
		}
	}
	if c.UnixSocketDir != "" {
		s, err := listenUnix(c, takeOver)
		if err != nil {
			return list, err
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, errors.New("nothing to listen on: set listen_addr or unix_socket_dir")
	}
	return list, nil
}

func (s socket) close() {
	_ = unix.Close(s.fd)
	s.unlink()
}

// unlink removes the socket's file, unless it is that of another process by now.
func (s socket) unlink() {
	if s.path == "" {
		return
	}
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		_ = os.Remove(s.path)
	}
}

// resolveListen turns one entry of listen_addr into addresses. It asks the
// system for names, which is why it runs before anything else does.
func resolveListen(host string, port int) ([]netip.AddrPort, error) {
	if host == "*" {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)),
			netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port)),
		}, nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr, uint16(port))}, nil
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return nil, fmt.Errorf("listen_addr: looking up %q: %w", host, err)
	}
	var list []netip.AddrPort
	for _, ip := range ips {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			list = append(list, netip.AddrPortFrom(addr.Unmap(), uint16(port)))
		}
	}
	return list, nil
}

func listenTCP(addr netip.AddrPort, c *config.Config) (socket, error) {
	domain, sa := sockaddr(addr)
	fd, err := newSocket(domain)
	if err != nil {
		return socket{}, fmt.Errorf("listening on %s: %w", addr, err)
	}
	fail := func(what string, err error) (socket, error) {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return socket{}, fmt.Errorf("listening on %s: %w; set listen_port to a free one, or stop who has it", addr, unix.EADDRINUSE)
		}
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return socket{}, fmt.Errorf("listening on %s: %w; listen_addr is one of this machine's own addresses, or * for all of them", addr, err)
		}
		return socket{}, fmt.Errorf("listening on %s: %s: %w", addr, what, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fail("SO_REUSEADDR", err)
	}
	if c.SOReusePort {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fail("so_reuseport", err)
		}
	}
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fail("IPV6_V6ONLY", err)
		}
	}
	if err := setOptions(fd, c); err != nil { // accepted sockets inherit them where they can
		return fail("socket options", err)
	}
	if c.TCPDeferAccept {
		deferAccept(fd)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fail("bind", err)
	}
	if err := unix.Listen(fd, c.ListenBacklog); err != nil {
		return fail("listen", err)
	}
	if addr.Port() == 0 {
		addr = chosenPort(fd, addr)
	}
	return socket{fd: fd, addr: addr.String(), tcp: true}, nil
}

// retune gives a listening TCP socket the options of another configuration, for
// the connections it accepts from now on.
func retune(fd int, c *config.Config) error {
	if err := resetOptions(fd); err != nil {
		return err
	}
	if err := setOptions(fd, c); err != nil {
		return err
	}
	if c.TCPDeferAccept {
		deferAccept(fd)
	}
	return nil
}

// setOptions sets what clients' TCP sockets are to have.
func setOptions(fd int, c *config.Config) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	options := socketOptions(c)
	return options.Apply(fd)
}

func sockaddr(addr netip.AddrPort) (domain int, sa unix.Sockaddr) {
	if addr.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

// chosenPort is addr with the port that the kernel has chosen for it.
func chosenPort(fd int, addr netip.AddrPort) netip.AddrPort {
	switch bound, _ := unix.Getsockname(fd); a := bound.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(addr.Addr(), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(addr.Addr(), uint16(a.Port))
	}
	return addr
}

func newSocket(domain int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("making a socket non-blocking: %w", err)
	}
	return fd, nil
}

// listenUnix makes the Unix socket. A file left over by a process that is gone
// is removed; one that somebody answers on is left alone, or with takeOver
// replaced in one step: whoever connects reaches the one process or the other.
func listenUnix(c *config.Config, takeOver bool) (socket, error) {
	name := c.UnixSocketDir + "/.s.PGSQL." + strconv.Itoa(c.ListenPort)
	abstract := strings.HasPrefix(name, "@")
	own := name
	if takeOver && !abstract {
		own = name + ".new"
	}
	if !abstract {
		if err := removeStale(own); err != nil {
			return socket{}, err
		}
	}
	fd, err := newSocket(unix.AF_UNIX)
	if err != nil {
		return socket{}, fmt.Errorf("listening on unix:%s: %w", name, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: own}); err != nil {
		_ = unix.Close(fd)
		return socket{}, fmt.Errorf("listening on unix:%s: bind: %w (unix_socket_dir)", own, err)
	}
	s := socket{fd: fd, addr: "unix:" + name}
	if !abstract {
		s.path = own
		if s.file, err = os.Lstat(own); err == nil {
			err = setSocketOwner(own, c.UnixSocketMode, c.UnixSocketGroup)
		}
	}
	if err == nil {
		err = unix.Listen(fd, c.ListenBacklog)
	}
	if err == nil && own != name {
		if err = os.Rename(own, name); err == nil {
			s.path = name
		}
	}
	if err != nil {
		s.close()
		return socket{}, fmt.Errorf("listening on unix:%s: %w", name, err)
	}
	return s, nil
}

func removeStale(name string) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("listening on unix:%s: a file that is no socket is in the way (unix_socket_dir)", name)
	}
	conn, err := net.DialTimeout("unix", name, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("listening on unix:%s: another process answers on it; stop it, or set listen_port or unix_socket_dir", name)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("listening on unix:%s: the file is in the way: %w", name, err)
	}
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("removing the socket of a process that is gone: %w", err)
	}
	return nil
}

func setSocketOwner(name string, mode fs.FileMode, group string) error {
	if err := os.Chmod(name, mode); err != nil {
		return fmt.Errorf("unix_socket_mode: %w", err)
	}
	if group == "" {
		return nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("unix_socket_group: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("unix_socket_group: group %s has the id %q", group, g.Gid)
	}
	if err := os.Chown(name, -1, gid); err != nil {
		return fmt.Errorf("unix_socket_group: %w", err)
	}
	return nil
}
