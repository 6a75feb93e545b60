package main

import (
	"net"
	"strconv"
	"strings"

	"carpool/cmd/sidecar"
)

// door is where the pooler lets the command in.
func (e *execution) door() sidecar.Door {
	door := sidecar.Door{Password: e.pooler.Password}
	if e.config.UnixSocketDir != "" {
		door.SocketDir, door.Port = e.config.UnixSocketDir, strconv.Itoa(e.config.ListenPort)
		return door
	}
	host, port, err := net.SplitHostPort(e.proxy.Addresses()[0])
	if err != nil {
		return door
	}
	switch {
	case host == "0.0.0.0":
		host = "127.0.0.1"
	case host == "::":
		host = "::1"
	}
	door.Host, door.Port = host, port
	return door
}

// announce says once what has been set up.
func (e *execution) announce(notes []sidecar.Note) {
	for i, u := range e.urls {
		limits := e.config.Resolve(e.config.Databases[i], e.config.Databases[i].User)
		e.log.Info("pooling "+u.Variable, "server", u.Place(), "server_connections", sidecar.PoolSize(e.config, i),
			"mode", limits.PoolMode.String(), "listen", strings.Join(e.proxy.Addresses(), " "))
	}
	for _, r := range e.reckonings {
		if r.err != nil {
			e.log.Warn(r.text, "error", r.err)
		} else {
			e.log.Info(r.text)
		}
	}
	for _, note := range append(notes, sidecar.Warnings(e.config)...) {
		if note.Warning {
			e.log.Warn(note.Text)
		} else {
			e.log.Info(note.Text)
		}
	}
	for _, warning := range e.config.Warnings() {
		e.log.Warn(warning.String())
	}
}
