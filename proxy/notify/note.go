package notify

import (
	"strings"

	"carpool/proxy/wire"
)

// MaxChannel is the largest length of a channel's name in bytes: Postgres cuts
// longer identifiers.
const MaxChannel = 63

// maxBody is the largest message in bytes that the hub accepts. Payloads have
// fewer bytes than a page of the server's, of which the largest is 32 kB.
const maxBody = 64 << 10

// Note is one notification. Its contents are shared by all who get it and never
// change; whoever keeps one for long copies Message, which is part of a larger
// buffer.
type Note struct {
	Channel string
	// Message is the NotificationResponse as the server sent it, header
	// included.
	Message []byte
}

// PID is the process id of the server that notified.
func (n *Note) PID() uint32 {
	body, _ := splitNote(n.Message)
	return body.pid
}

// Payload is what the notifier said, as part of Message.
func (n *Note) Payload() []byte {
	body, _ := splitNote(n.Message)
	return body.payload
}

// ParseNote reads the body of a NotificationResponse. channel and payload are
// parts of the input.
func ParseNote(body []byte) (pid uint32, channel, payload []byte, ok bool) {
	c := wire.Cursor{Rest: body}
	if pid, ok = c.Uint32(); !ok {
		return 0, nil, nil, false
	}
	if channel, ok = c.String(); !ok {
		return 0, nil, nil, false
	}
	if payload, ok = c.String(); !ok || len(c.Rest) > 0 {
		return 0, nil, nil, false
	}
	return pid, channel, payload, true
}

type noteBody struct {
	pid              uint32
	channel, payload []byte
}

// splitNote reads a whole message; nothing if it is too short to be one.
func splitNote(message []byte) (noteBody, bool) {
	if len(message) < wire.HeaderLen {
		return noteBody{}, false
	}
	pid, channel, payload, ok := ParseNote(message[wire.HeaderLen:])
	return noteBody{pid, channel, payload}, ok
}

// AppendMark appends the Query that makes a server listen on the marker channel
// and bring token there: step 3 of the change-over. It has to run outside a
// transaction, so that it is one of its own.
func AppendMark(dst []byte, marker, token string) []byte {
	return wire.AppendQuery(dst, "LISTEN "+quote(marker)+"; NOTIFY "+quote(marker)+", '"+token+"'")
}

// AppendUnlistenAll appends the Query that ends a server's listening.
func AppendUnlistenAll(dst []byte) []byte { return wire.AppendQuery(dst, "UNLISTEN *") }

// quote makes an identifier. It is right in every encoding that a database can
// have: none of them uses a quotation mark's byte within a longer character.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Unconverted reports whether a client with this client_encoding gets from
// Postgres the very bytes that the hub gets, in a database with this
// server_encoding. Both are the names that servers report. Unknown ones, also
// empty ones, are answered with false.
func Unconverted(serverEncoding, clientEncoding string) bool {
	const none = "SQL_ASCII"
	if serverEncoding == "" || clientEncoding == "" {
		return false
	}
	return strings.EqualFold(serverEncoding, clientEncoding) ||
		strings.EqualFold(clientEncoding, none) || strings.EqualFold(serverEncoding, none)
}
