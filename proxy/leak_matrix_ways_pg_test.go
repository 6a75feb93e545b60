package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	"carpool/bench/pgserver"
	"carpool/proxy/wire"
)

// way is one way for a client to leave.
type way struct {
	name   string
	stalls bool
	// leave has a client leave something and go. What it returns is called when
	// the next client has come: it sees the first one's connection to its end.
	leave func(l *lane, kind *leftover) (seen func())
}

var ways = [...]way{
	{name: "Terminate", leave: func(l *lane, kind *leftover) func() {
		k := l.leaving(kind)
		k.send(wire.AppendEmpty(nil, wire.Terminate))
		return k.toItsEnd
	}},
	{name: "FIN", leave: func(l *lane, kind *leftover) func() {
		leaving["FIN"](l.leaving(kind).conn)
		return func() {}
	}},
	{name: "RST", leave: func(l *lane, kind *leftover) func() {
		leaving["RST"](l.leaving(kind).conn)
		return func() {}
	}},
	{name: "half-close", leave: func(l *lane, kind *leftover) func() {
		k := l.leaving(kind)
		if err := k.conn.(*net.TCPConn).CloseWrite(); err != nil {
			l.t.Fatal(err)
		}
		read := make(chan struct{})
		go func() { // ends with the connection, and is waited for
			defer close(read)
			k.toItsEnd()
		}()
		return func() { <-read }
	}},
	{name: "kill -9", leave: func(l *lane, kind *leftover) func() {
		if kind.isSQL() && !l.lasting { // psql's parameters would get it a server that the next client can't have
			l.killPsql(kind)
		} else {
			l.killHolder(l.leaving(kind))
		}
		return func() {}
	}},
	{name: "stall", stalls: true, leave: func(l *lane, kind *leftover) func() {
		return l.leaving(kind).toItsEnd
	}},
}

// leaving is a client that has left something, and is about to go.
func (l *lane) leaving(kind *leftover) *talker {
	k := dialTalker(l.t, l.p.address())
	k.doing = kind.name + ", " + l.way.name
	key := kind.make(k, l.user, l.database)
	if kind.notified {
		l.direct().ask(simple("notify mine, 'for the old one'"))
	}
	if kind.busy != "" {
		eventually(l.t, k.doing+": the query to run", func() bool {
			return direct(l.t, fmt.Sprintf("select count(*) from pg_stat_activity where state = 'active' and query like '%%%s%%' and datname = '%s'", kind.busy, l.database)) == "1"
		})
	}
	if kind.cancels {
		l.cancel(key)
	}
	return k
}

// cancel sends a cancel request for what a client does, and doesn't wait.
func (l *lane) cancel(key []byte) {
	conn, err := net.Dial("tcp", l.p.address())
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it has nothing to say
	if _, err := conn.Write(wire.AppendCancelRequest(nil, binary.BigEndian.Uint32(key), key[4:])); err != nil {
		l.t.Fatal(err)
	}
}

// toItsEnd reads to the end of the connection, which has to come.
func (k *talker) toItsEnd() {
	_ = k.conn.SetReadDeadline(time.Now().Add(talkerPatience))
	_, err := io.Copy(io.Discard, k.in)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		k.t.Errorf("the connection isn't ended: %s", k.doing)
	}
	_ = k.conn.Close()
}

// killHolder hands the connection over to another process, and kills that.
func (l *lane) killHolder(k *talker) {
	file, err := k.conn.(*net.TCPConn).File()
	if err != nil {
		l.t.Fatal(err)
	}
	holder := exec.Command("cat")
	holder.ExtraFiles = append(holder.ExtraFiles, file)
	hold, err := holder.StdinPipe() // it reads until that is closed
	if err != nil {
		l.t.Fatal(err)
	}
	defer hold.Close() //nolint:errcheck // its reader is gone
	if err := holder.Start(); err != nil {
		l.t.Fatal(err)
	}
	_, _ = file.Close(), k.conn.Close()
	l.kill(holder)
}

func (l *lane) kill(c *exec.Cmd) {
	if err := c.Process.Kill(); err != nil {
		l.t.Fatal(err)
	}
	_ = c.Wait() // that it was killed
}

// killPsql has psql leave something, and kills it.
func (l *lane) killPsql(kind *leftover) {
	binaries, err := pgserver.Find()
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	psql := exec.CommandContext(ctx, binaries.Path("psql"), "-XqAt", fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", l.user, l.p.address(), l.database))
	script, err := psql.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	defer script.Close() //nolint:errcheck // its reader is gone
	output, err := psql.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := psql.Start(); err != nil {
		l.t.Fatal(err)
	}
	if _, err := io.WriteString(script, strings.Join(kind.texts, ";\n")+";\n\\echo all is made\n"); err != nil {
		l.t.Error(err)
	}
	var said []byte
	for b := make([]byte, 4096); !bytes.Contains(said, []byte("all is made")); {
		n, err := output.Read(b)
		if said = append(said, b[:n]...); err != nil {
			l.t.Fatalf("%s: psql: %v %s", kind.name, err, said)
		}
	}
	l.kill(psql)
}

// goes reports whether a client that has left this can go that way.
func (o *leftover) goes(w *way) bool { return !slices.Contains(o.stays, w.name) }
