package wire

// ParseParameterStatus reads the body of a ParameterStatus message.
func ParseParameterStatus(body []byte) (name, value []byte, ok bool) {
	c := Cursor{Rest: body}
	if name, ok = c.String(); !ok {
		return nil, nil, false
	}
	value, ok = c.String()
	return name, value, ok && len(c.Rest) == 0
}

// ParseReadyForQuery reads the body of ReadyForQuery.
func ParseReadyForQuery(body []byte) (status byte, ok bool) {
	if len(body) != 1 {
		return 0, false
	}
	switch body[0] {
	case TxIdle, TxOpen, TxFailed:
		return body[0], true
	}
	return 0, false
}

// ParseBackendKeyData reads the body of BackendKeyData. The secret is a part
// of the input; its length is 4 in protocol 3.0 and 4 to 256 from 3.2 on.
func ParseBackendKeyData(body []byte) (pid uint32, secret []byte, ok bool) {
	c := Cursor{Rest: body}
	if pid, ok = c.Uint32(); !ok {
		return 0, nil, false
	}
	if len(c.Rest) < 4 || len(c.Rest) > 256 {
		return 0, nil, false
	}
	return pid, c.Rest, true
}

// ParseTarget reads the body of a Describe or Close message: 'S' for a
// prepared statement or 'P' for a portal, and the name.
func ParseTarget(body []byte) (kind byte, name []byte, ok bool) {
	c := Cursor{Rest: body}
	if kind, ok = c.Byte(); !ok || (kind != 'S' && kind != 'P') {
		return 0, nil, false
	}
	name, ok = c.String()
	return kind, name, ok && len(c.Rest) == 0
}

// ParseStatement splits the body of a Parse message into the statement's name
// and all the rest: the query with its zero byte, and the parameter types. Two
// Parse messages with equal rests prepare the same statement.
func ParseStatement(body []byte) (name, rest []byte, ok bool) {
	c := Cursor{Rest: body}
	if name, ok = c.String(); !ok {
		return nil, nil, false
	}
	rest = c.Rest
	if _, ok = c.String(); !ok {
		return nil, nil, false
	}
	types, ok := c.Uint16()
	if !ok || len(c.Rest) != 4*int(types) {
		return nil, nil, false
	}
	return name, rest, true
}

// ParseBindNames reads the two names at the front of a Bind body, of which
// only a first part need be there. complete is false when more of the body is
// needed to see both; size is how many bytes the names take with their zeros.
func ParseBindNames(body []byte) (portal, statement []byte, size int, complete bool) {
	c := Cursor{Rest: body}
	portal, ok := c.String()
	if !ok {
		return nil, nil, 0, false
	}
	statement, ok = c.String()
	if !ok {
		return nil, nil, 0, false
	}
	return portal, statement, len(body) - len(c.Rest), true
}
