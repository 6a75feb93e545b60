package wire

import "encoding/binary"

// Begin appends a message header whose length is filled in by Finish, and
// returns the extended slice and the position to hand to Finish.
func Begin(dst []byte, typ byte) (out []byte, mark int) {
	return append(dst, typ, 0, 0, 0, 0), len(dst) + 1
}

// Finish fills in the length of the message begun at mark.
func Finish(dst []byte, mark int) []byte {
	binary.BigEndian.PutUint32(dst[mark:], uint32(len(dst)-mark))
	return dst
}

// AppendHeader appends a header for a body of the given size in bytes.
func AppendHeader(dst []byte, typ byte, body int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, typ), uint32(body+4))
}

// AppendString appends s and the zero byte that ends a protocol string. The
// caller makes sure that s holds no zero byte.
func AppendString(dst []byte, s string) []byte {
	return append(append(dst, s...), 0)
}

// AppendQuery appends a Query message.
func AppendQuery(dst []byte, sql string) []byte {
	return AppendString(AppendHeader(dst, Query, len(sql)+1), sql)
}

// AppendEmpty appends a message without a body: Sync, Flush, Terminate,
// ParseComplete and their like.
func AppendEmpty(dst []byte, typ byte) []byte {
	return AppendHeader(dst, typ, 0)
}

// AppendReadyForQuery appends ReadyForQuery with a transaction status byte.
func AppendReadyForQuery(dst []byte, status byte) []byte {
	return append(AppendHeader(dst, ReadyForQuery, 1), status)
}

// AppendParameterStatus appends a ParameterStatus message.
func AppendParameterStatus(dst []byte, name, value string) []byte {
	dst = AppendHeader(dst, ParameterStatus, len(name)+len(value)+2)
	return AppendString(AppendString(dst, name), value)
}

// AppendBackendKeyData appends BackendKeyData; secret is 4 bytes long in
// protocol 3.0, and 4 to 256 from 3.2 on.
func AppendBackendKeyData(dst []byte, pid uint32, secret []byte) []byte {
	dst = AppendHeader(dst, BackendKeyData, 4+len(secret))
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return append(dst, secret...)
}

// AppendAuthentication appends an Authentication request with its code and
// whatever data belongs to it.
func AppendAuthentication(dst []byte, code uint32, data []byte) []byte {
	dst = AppendHeader(dst, Authentication, 4+len(data))
	dst = binary.BigEndian.AppendUint32(dst, code)
	return append(dst, data...)
}

// AppendPassword appends a message of type 'p' with the given body.
func AppendPassword(dst, body []byte) []byte {
	return append(AppendHeader(dst, Password, len(body)), body...)
}

// AppendCancelRequest appends a CancelRequest packet.
func AppendCancelRequest(dst []byte, pid uint32, secret []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(12+len(secret)))
	dst = binary.BigEndian.AppendUint32(dst, CancelRequestCode)
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return append(dst, secret...)
}

// AppendSSLRequest appends an SSLRequest packet.
func AppendSSLRequest(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, 8)
	return binary.BigEndian.AppendUint32(dst, SSLRequestCode)
}

// Param is one name and value of a start-up packet or of ParameterStatus.
type Param struct{ Name, Value string }

// AppendStartup appends a start-up packet.
func AppendStartup(dst []byte, version uint32, params []Param) []byte {
	mark := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, version)
	for _, p := range params {
		dst = AppendString(AppendString(dst, p.Name), p.Value)
	}
	dst = append(dst, 0)
	binary.BigEndian.PutUint32(dst[mark:], uint32(len(dst)-mark))
	return dst
}

// AppendNegotiate appends NegotiateProtocolVersion: the newest minor version
// that is spoken, and the protocol options that weren't understood.
func AppendNegotiate(dst []byte, newestMinor uint32, unknown []string) []byte {
	dst, mark := Begin(dst, NegotiateProtocolVersion)
	dst = binary.BigEndian.AppendUint32(dst, newestMinor)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(unknown)))
	for _, name := range unknown {
		dst = AppendString(dst, name)
	}
	return Finish(dst, mark)
}
