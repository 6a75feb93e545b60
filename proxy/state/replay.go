package state

import (
	"encoding/hex"
	"strconv"
	"strings"

	"carpool/proxy/wire"
)

// Acceptable reports whether a client may bring this parameter in its start-up
// packet and have it replayed on every server it is given: the name is a
// parameter's name, a session may set it (of session_authorization only a
// superuser's may), and the value is ASCII of reasonable length. Non-ASCII
// values are refused because Postgres takes the bytes of a
// start-up packet as they are, in whatever encoding the database has.
func Acceptable(name, value string) bool {
	return (Tracked(name) || compareFold(name, roleName) == 0) && !loginOnly(name) && sound(name, value) && isASCII(value)
}

// AppendReplay appends one Query message that takes a server which has the
// parameters in server to those in client: it sets what differs and resets what
// the client doesn't have. It appends nothing if there is nothing to do.
//
// The statements of one Query are one implicit transaction: all take effect, or
// none. The answer is to be swallowed; it may contain rows. The query is pure
// ASCII and means the same in every client_encoding and with either setting of
// standard_conforming_strings and backslash_quote.
func AppendReplay(dst []byte, server, client *Params) []byte {
	return appendReplay(dst, server, client, "", "")
}

// AppendGuardedReplay is AppendReplay for a server that is sent more at once: if
// it refuses a parameter, it is in a failed transaction afterwards, and does
// nothing of what is sent behind until that is rolled back.
func AppendGuardedReplay(dst []byte, server, client *Params) []byte {
	return appendReplay(dst, server, client, guardBegin, guardEnd)
}

const (
	guardBegin = "BEGIN;"
	guardEnd   = "COMMIT"
)

// RefusedParameter is the parameter that the query of AppendGuardedReplay has
// come to nothing with, when done of its statements have succeeded; empty if it
// was none.
func RefusedParameter(server, client *Params, done int) string {
	query := AppendGuardedReplay(nil, server, client)
	if len(query) == 0 {
		return ""
	}
	var c Classifier
	for _, e := range c.Classify(query[wire.HeaderLen:len(query)-1], Dialect{}) {
		if e.Statement == done && (e.Kind == KindSet || e.Kind == KindReset) {
			return string(e.Name)
		}
	}
	return ""
}

func appendReplay(dst []byte, server, client *Params, begin, end string) []byte {
	if server == client {
		return dst
	}
	start := len(dst)
	dst, mark := wire.Begin(dst, wire.Query)
	dst = append(dst, begin...)
	dst = appendUnhindered(dst, server)
	changes := !sameIdentity(server, client)
	dst = appendIdentity(dst, server, true)
	empty := len(dst)
	dst = appendResets(dst, server, client)
	dst = appendSets(dst, server, client)
	if len(dst) == empty && !changes {
		return dst[:start]
	}
	dst = appendIdentity(dst, client, false)
	return wire.Finish(append(append(dst, end...), 0), mark)
}

// appendUnhindered lifts what server has that might make the query wait or fail:
// it is of the client before.
func appendUnhindered(dst []byte, server *Params) []byte {
	if _, set := server.find("default_transaction_isolation"); set {
		dst = append(dst, auditTransaction...)
	}
	if _, set := server.find("statement_timeout"); set {
		dst = append(dst, untimed...)
	}
	return dst
}

// AppendRestore appends one Query message that sets the parameters of wanted
// again, to be sent in the midst of a transaction after they may have been
// reset: those that the session has set itself are left as they are, but for the
// role, which is to be among wanted only if it was reset. local is for SET
// LOCAL. It appends nothing if nothing is wanted. What holds for AppendReplay
// holds for it too.
func AppendRestore(dst []byte, wanted *Params, local bool) []byte {
	if wanted == nil {
		return dst
	}
	dst, mark := wire.Begin(dst, wire.Query)
	dst = append(dst, "SELECT pg_catalog.set_config(w.name,w.value,"...)
	dst = strconv.AppendBool(dst, local)
	dst = append(dst, ") IS NULL FROM (VALUES "...)
	for i := range wanted.list {
		p := &wanted.list[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		name, ok := spelled(p.name)
		if !ok {
			name = strings.ToLower(p.name)
		}
		dst = AppendLiteral(append(dst, '('), name)
		dst = append(dst, ',')
		if isASCII(p.value) {
			dst = AppendLiteral(dst, p.value)
		} else {
			dst = appendEncoded(dst, p)
		}
		dst = append(dst, ')')
	}
	// Custom parameters aren't listed unless a library has made them, nor is the
	// role.
	dst = append(dst, `) AS w(name,value) LEFT JOIN pg_catalog.pg_show_all_settings() AS s ON s.name OPERATOR(pg_catalog.=) w.name `+
		`WHERE s.source OPERATOR(pg_catalog.<>) 'session' OR s.name IS NULL AND (w.name OPERATOR(pg_catalog.=) 'role' `+
		`OR COALESCE(pg_catalog.current_setting(w.name,true),'') OPERATOR(pg_catalog.=) '')`...)
	return wire.Finish(append(dst, 0), mark)
}

// AppendSettings appends one Query message that sets the parameters of wanted in
// the midst of a transaction, whatever the session has: after a RESET of all of
// them, AppendRestore comes to the same. It does so by commands that SET
// TRANSACTION may follow, as it may follow a RESET and no query. It appends
// nothing if nothing is wanted; ok is false, and dst as it was, if there is a
// value that such a command can't be written for. local is for SET LOCAL. What
// holds for AppendReplay holds for it too.
func AppendSettings(dst []byte, wanted *Params, local bool) (out []byte, ok bool) {
	if wanted == nil {
		return dst, true
	}
	start := len(dst)
	dst, mark := wire.Begin(dst, wire.Query)
	for i := range wanted.list {
		p := &wanted.list[i]
		if !isASCII(p.value) || takesQuotedList(p.name) {
			return dst[:start], false
		}
		dst = append(dst, "SET "...)
		if local {
			dst = append(dst, "LOCAL "...)
		}
		dst = append(appendName(dst, p.name), " TO "...)
		dst = append(AppendLiteral(dst, p.value), ';')
	}
	return wire.Finish(append(dst, 0), mark), true
}

// identity are the parameters that decide what a session may set. They are
// given up before anything else is set and taken on after it, the role last,
// since setting session_authorization gives it up.
var identity = [...]string{"session_authorization", "role"}

// IsIdentity reports whether a parameter, whatever the case of its name, is the
// role or session_authorization.
func IsIdentity(name string) bool {
	return compareFold(name, identity[0]) == 0 || compareFold(name, identity[1]) == 0
}

func sameIdentity(a, b *Params) bool {
	for _, name := range identity {
		x, inA := a.Value(name)
		y, inB := b.Value(name)
		if inA != inB || x != y {
			return false
		}
	}
	return true
}

// appendIdentity resets what p has of it, or sets it.
func appendIdentity(dst []byte, p *Params, reset bool) []byte {
	for _, name := range identity {
		at, ok := p.find(name)
		switch {
		case !ok:
		case reset:
			dst = append(appendName(append(dst, "RESET "...), name), ';')
		default:
			dst = appendSet(dst, nil, &p.list[at])
		}
	}
	return dst
}

// appendResets resets what server has and client hasn't.
// A custom parameter that is empty can't be taken any further.
func appendResets(dst []byte, server, client *Params) []byte {
	for i := range server.Len() {
		name := server.list[i].name
		if _, ok := client.find(name); !ok && !IsIdentity(name) && !emptied(&server.list[i]) {
			dst = append(dst, "RESET "...)
			dst = append(appendName(dst, name), ';')
		}
	}
	return dst
}

// appendSets sets what client has and server hasn't, or has otherwise:
// client_encoding first, so that what the server says about the others already
// reaches the client in its own encoding.
func appendSets(dst []byte, server, client *Params) []byte {
	const first = "client_encoding"
	if at, ok := client.find(first); ok {
		dst = appendSet(dst, server, &client.list[at])
	}
	for i := range client.Len() {
		if p := &client.list[i]; compareFold(p.name, first) != 0 && !IsIdentity(p.name) {
			dst = appendSet(dst, server, p)
		}
	}
	return dst
}

func appendSet(dst []byte, server *Params, p *param) []byte {
	if at, ok := server.find(p.name); ok && same(&server.list[at], p) {
		return dst
	}
	if emptied(p) {
		// It may belong to a library here, which has a value for it.
		return append(appendName(append(dst, "RESET "...), p.name), ';')
	}
	if relative(p) {
		dst = append(dst, "RESET "...)
		dst = append(appendName(dst, p.name), ';')
	}
	ascii := isASCII(p.value)
	if ascii && !takesQuotedList(p.name) {
		// The cheapest form for the server: no plan, no rows.
		dst = append(dst, "SET "...)
		dst = append(appendName(dst, p.name), " TO "...)
		return append(AppendLiteral(dst, p.value), ';')
	}
	// Thanks to IS NULL the value isn't sent back to us: client_encoding may
	// have no characters for it.
	dst = append(dst, "SELECT pg_catalog.set_config("...)
	dst = append(AppendLiteral(dst, p.name), ", "...)
	if ascii {
		dst = AppendLiteral(dst, p.value)
	} else {
		dst = appendEncoded(dst, p)
	}
	return append(dst, ", false) IS NULL;"...)
}

// emptied reports whether p is a custom parameter that is there and has no
// value, as after a RESET.
func emptied(p *param) bool { return p.value == "" && custom(p.name) }

// relative reports whether what the setting comes to depends on the one before:
// a DateStyle that doesn't name both the style and the order of day and month.
// In a start-up packet the one before is the default.
func relative(p *param) bool {
	if compareFold(p.name, "DateStyle") != 0 {
		return false
	}
	_, order, _ := strings.Cut(p.value, ", ")
	return order != "MDY" && order != "DMY" && order != "YMD"
}

// appendName writes a parameter's name as quoted identifiers. validName has
// made sure that it holds nothing to be escaped.
func appendName(dst []byte, name string) []byte {
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = append(dst, '"')
		dst = append(dst, part...)
		dst = append(dst, '"')
	}
	return dst
}

// AppendLiteral writes an ASCII string as a literal. Quotes are doubled, which
// every setting of backslash_quote allows, and a string with backslashes is
// marked as one, so that standard_conforming_strings doesn't matter. Since all
// is ASCII, no byte can be taken for a part of another character.
func AppendLiteral(dst []byte, s string) []byte {
	if strings.IndexByte(s, '\\') >= 0 {
		dst = append(dst, 'E')
	}
	dst = append(dst, '\'')
	for i := range len(s) {
		switch s[i] {
		case '\'', '\\':
			dst = append(dst, s[i])
		}
		dst = append(dst, s[i])
	}
	return append(dst, '\'')
}

// appendEncoded writes a value beyond ASCII as an expression that is itself
// ASCII: its bytes in hexadecimal, and the encoding they are in.
func appendEncoded(dst []byte, p *param) []byte {
	dst = append(dst, "pg_catalog.convert_from(pg_catalog.decode('"...)
	dst = hex.AppendEncode(dst, []byte(p.value))
	dst = append(dst, "', 'hex'), "...)
	if p.encoding == "" {
		dst = append(dst, "pg_catalog.getdatabaseencoding()"...)
	} else {
		dst = AppendLiteral(dst, p.encoding)
	}
	return append(dst, ')')
}

// CleanApplicationName returns name as a server shows it, which keeps only the
// printable part of ASCII: every other byte becomes a question mark, or with
// escape (servers from version 16 on) \x and two hexadecimal digits.
func CleanApplicationName(name string, escape bool) string {
	clean := true
	for i := range len(name) {
		clean = clean && name[i] >= ' ' && name[i] <= '~'
	}
	if clean {
		return name
	}
	out := make([]byte, 0, len(name)+8)
	for i := range len(name) {
		switch c := name[i]; {
		case c >= ' ' && c <= '~':
			out = append(out, c)
		case escape:
			out = append(out, '\\', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			out = append(out, '?')
		}
	}
	return string(out)
}
