package nullserver

import (
	"encoding/binary"
	"errors"
	"fmt"

	"carpool/proxy/wire"
)

const (
	// question is what Bare asks, and what the harness' workload select1 asks too.
	question = "SELECT 1"
	// answer is the one value of every reply.
	answer = "1"
	// maxStartup is the largest start-up packet, in bytes: Postgres' own limit.
	maxStartup = 10_000
	// maxMessage is the largest message, in bytes. None is held in memory: the limit only tells a client from noise.
	maxMessage = 1 << 20
)

// errEnd is that of a conversation which has come to its regular end.
var errEnd = errors.New("the client has said goodbye")

// replies are the messages that the server knows, ready to send. They are never changed.
type replies struct {
	welcome    []byte // from AuthenticationOk to ReadyForQuery
	query      []byte // to Query, whole
	parse      []byte
	bind       []byte
	statement  []byte // to Describe of a statement
	portal     []byte // to Describe of a portal
	execute    []byte
	closed     []byte
	sync       []byte
	noEncoding []byte // to SSLRequest and GSSENCRequest
}

func newReplies() *replies {
	row, mark := wire.Begin(nil, wire.RowDescription)
	row = binary.BigEndian.AppendUint16(row, 1)
	row = wire.AppendString(row, "?column?")
	row = append(row,
		0, 0, 0, 0, 0, 0, // of no table
		0, 0, 0, 23, 0, 4, // int4, 4 bytes
		0xff, 0xff, 0xff, 0xff, 0, 0) // no modifier, text
	row = wire.Finish(row, mark)

	data, mark := wire.Begin(nil, wire.DataRow)
	data = binary.BigEndian.AppendUint16(data, 1)
	data = binary.BigEndian.AppendUint32(data, uint32(len(answer)))
	data = wire.Finish(append(data, answer...), mark)
	data, mark = wire.Begin(data, wire.CommandComplete)
	data = wire.Finish(wire.AppendString(data, "SELECT 1"), mark)

	ready := wire.AppendReadyForQuery(nil, wire.TxIdle)
	return &replies{
		welcome:    welcome(ready),
		query:      join(row, data, ready),
		parse:      wire.AppendEmpty(nil, wire.ParseComplete),
		bind:       wire.AppendEmpty(nil, wire.BindComplete),
		statement:  join(wire.AppendHeader(nil, wire.ParameterDescription, 2), []byte{0, 0}, row),
		portal:     row,
		execute:    data,
		closed:     wire.AppendEmpty(nil, wire.CloseComplete),
		sync:       ready,
		noEncoding: []byte{'N'},
	}
}

// welcome has the parameters that drivers look at.
func welcome(ready []byte) []byte {
	out := wire.AppendAuthentication(nil, wire.AuthOK, nil)
	for _, p := range []wire.Param{
		{Name: "server_version", Value: "17.0 (a null server)"},
		{Name: "server_encoding", Value: "UTF8"},
		{Name: "client_encoding", Value: "UTF8"},
		{Name: "DateStyle", Value: "ISO, MDY"},
		{Name: "integer_datetimes", Value: "on"},
		{Name: "standard_conforming_strings", Value: "on"},
	} {
		out = wire.AppendParameterStatus(out, p.Name, p.Value)
	}
	out = wire.AppendBackendKeyData(out, 1, []byte{0, 0, 0, 1}) // nothing can be cancelled
	return append(out, ready...)
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

// conversation is the server's side of one connection without the connection: bytes in, bytes out. It holds at most a
// start-up packet of its input, and of a message only the header.
type conversation struct {
	replies *replies
	started bool
	held    []byte // what isn't enough yet to go on with
	skip    int    // bytes of the present message's body still to come, of which none matters
}

// feed takes what the client has sent, in pieces of any size, and appends the answers to out. in is only read until feed
// returns. After an error the connection is to be closed, once out is sent: errEnd after a regular end.
func (c *conversation) feed(out, in []byte) ([]byte, error) {
	for {
		n := min(c.skip, len(in))
		c.skip -= n
		in = in[n:]
		if len(in) == 0 {
			return out, nil
		}
		rest := in
		if len(c.held) > 0 {
			rest = append(c.held, in...)
		}
		var used int
		var err error
		if c.started {
			out, used, err = c.message(out, rest)
		} else {
			out, used, err = c.startup(out, rest)
		}
		if err != nil {
			return out, err
		}
		if used == 0 { // a part of a packet or header: it is all held until more comes
			c.held = append(c.held[:0], rest...)
			return out, nil
		}
		in = rest[used:]
		c.held = nil
	}
}

// startup reads one packet of the start-up phase and returns how many bytes it took, 0 when it isn't all there. See
// "Start-up" in Postgres' "Message Flow".
func (c *conversation) startup(out, in []byte) ([]byte, int, error) {
	if len(in) < 8 {
		return out, 0, nil
	}
	size := binary.BigEndian.Uint32(in)
	code := binary.BigEndian.Uint32(in[4:])
	if size < 8 || size > maxStartup {
		return out, 0, fmt.Errorf("a start-up packet of %d bytes", size)
	}
	if uint32(len(in)) < size {
		return out, 0, nil
	}
	switch {
	case code == wire.SSLRequestCode, code == wire.GSSENCRequestCode:
		return append(out, c.replies.noEncoding...), int(size), nil
	case code == wire.CancelRequestCode:
		return out, 0, errEnd
	case code>>16 != wire.Protocol30>>16:
		err := fmt.Errorf("protocol %d.%d isn't spoken here", code>>16, code&0xffff)
		return refuse(out, err), 0, err
	case code != wire.Protocol30:
		out = wire.AppendNegotiate(out, 0, nil)
	}
	c.started = true
	return append(out, c.replies.welcome...), int(size), nil
}

// message answers one message and returns how many bytes of it there were to use, 0 when more is needed to answer. What is
// missing of its body is left to skip.
func (c *conversation) message(out, in []byte) ([]byte, int, error) {
	header, ok, valid := wire.ParseHeader(in)
	if !ok {
		return out, 0, nil
	}
	if !valid || header.Body > maxMessage {
		err := fmt.Errorf("a message %q of a length that is none", header.Type)
		return refuse(out, err), 0, err
	}
	r := c.replies
	switch header.Type {
	case wire.Query:
		out = append(out, r.query...)
	case wire.Parse:
		out = append(out, r.parse...)
	case wire.Bind:
		out = append(out, r.bind...)
	case wire.Describe:
		if header.Body > 0 && len(in) == wire.HeaderLen {
			return out, 0, nil
		}
		if header.Body > 0 && in[wire.HeaderLen] == 'S' {
			out = append(out, r.statement...)
		} else {
			out = append(out, r.portal...)
		}
	case wire.Execute:
		out = append(out, r.execute...)
	case wire.Close:
		out = append(out, r.closed...)
	case wire.Sync:
		out = append(out, r.sync...)
	case wire.Flush:
	case wire.Terminate:
		return out, 0, errEnd
	default:
		err := fmt.Errorf("a message %q isn't understood here", header.Type)
		return refuse(out, err), 0, err
	}
	used := min(len(in), header.Size())
	c.skip = header.Size() - used
	return out, used, nil
}

// refuse appends the error that the client gets before the connection is closed.
func refuse(out []byte, reason error) []byte {
	return wire.AppendError(out, wire.Report{Severity: "FATAL", Code: "08P01", Message: reason.Error()})
}
