package startup

import (
	"encoding/binary"
	"fmt"

	"carpool/proxy/wire"
)

const (
	lengthLen       = 4 // bytes of the length field
	prologueLen     = 8 // bytes of length and request code
	minCancelLen    = prologueLen + 4 + 4
	maxCancelLen    = prologueLen + 4 + 256
	tlsHandshake    = 0x16 // first byte of a TLS record that opens a handshake
	newestMinor     = 2
	supportedMajor  = wire.Protocol32 >> 16
	reservedMinor31 = 1 // never existed: old poolers took it for 3.0 by mistake
)

// feedPacket reads one packet without a type byte: a request for encryption, a
// CancelRequest or a StartupMessage.
func (m *Machine) feedPacket(b []byte) (int, Event) {
	if len(b) == 0 {
		return 0, Event{}
	}
	if m.state == stateFirst && b[0] == tlsHandshake {
		if !m.options.DirectTLS || !m.offersTLS() {
			return 0, m.drop()
		}
		m.state, m.direct = stateHandshake, true
		return 0, Event{Kind: DirectTLS}
	}
	if b[0] != 0 { // longer than largestPacket: another protocol
		return 0, m.drop()
	}
	if len(b) < lengthLen {
		return 0, Event{}
	}
	length := int(binary.BigEndian.Uint32(b))
	if length < prologueLen {
		return 0, m.drop()
	}
	if len(b) < prologueLen {
		return 0, Event{}
	}
	switch code := binary.BigEndian.Uint32(b[lengthLen:]); code {
	case wire.SSLRequestCode, wire.GSSENCRequestCode:
		if length != prologueLen {
			return 0, m.drop()
		}
		return prologueLen, m.negotiate(code, len(b) > prologueLen)
	case wire.CancelRequestCode:
		return m.feedCancel(b, length)
	default:
		return m.feedStartup(b, length, code)
	}
}

func (m *Machine) offersTLS() bool {
	return m.options.TLS != TLSDisable && m.via == TCP
}

// negotiate answers a request for encryption. Bytes that follow it were sent
// without awaiting the answer; someone in between may have put them there so
// that they are taken for bytes from inside the encryption.
func (m *Machine) negotiate(code uint32, more bool) Event {
	asked, name := &m.askedGSS, "GSSAPI encryption"
	if code == wire.SSLRequestCode {
		asked, name = &m.askedTLS, "SSL"
	}
	if m.via == TLS {
		return m.reject("08P01", "unexpected "+name+" request inside TLS", nil)
	}
	if *asked {
		return m.reject("08P01", "unexpected second "+name+" request", nil)
	}
	if more {
		return m.reject("08P01", "received unencrypted data after "+name+" request", nil)
	}
	*asked = true
	if code == wire.SSLRequestCode && m.offersTLS() {
		m.state = stateHandshake
		m.out = append(m.out, 'S')
		return Event{Kind: StartTLS}
	}
	m.state = statePacket
	m.out = append(m.out, 'N')
	return Event{}
}

func (m *Machine) feedCancel(b []byte, length int) (int, Event) {
	if length < minCancelLen || length > maxCancelLen {
		return 0, m.drop()
	}
	if len(b) < length {
		return 0, Event{}
	}
	m.state = stateClosed
	return length, Event{Kind: CancelQuery, Cancel: Cancel{
		PID:    binary.BigEndian.Uint32(b[prologueLen:]),
		Secret: append([]byte(nil), b[prologueLen+4:length]...),
	}}
}

// feedStartup reads a StartupMessage. Version and length are judged as soon as
// they are there, the rest once it is complete.
func (m *Machine) feedStartup(b []byte, length int, version uint32) (int, Event) {
	tooLong := length > m.options.maxPacket()
	major, minor := version>>16, version&0xffff
	switch {
	case major == supportedMajor && tooLong:
		return 0, m.reject("08P01", "startup packet too long", nil)
	case tooLong: // neither of its two numbers makes sense
		return 0, m.drop()
	case major == 2:
		return 0, m.reject("0A000", "old V2 protocol not supported", nil)
	case major != supportedMajor:
		return 0, m.reject("0A000", fmt.Sprintf("unsupported frontend protocol %d.%d: server supports %d.0 to %d.%d",
			major, minor, supportedMajor, supportedMajor, newestMinor), nil)
	}
	if len(b) < length {
		return 0, Event{}
	}
	if m.options.TLS == TLSRequire && m.via == TCP {
		return length, m.reject("28000", "SSL required", nil)
	}
	id, unknown, fault := parseStartup(string(b[prologueLen:length]), m.options.IgnoreOptions)
	if fault != nil {
		return length, m.refuse(*fault, nil)
	}
	id.ProtocolMinor, id.Secure = agreedMinor(minor), m.via == TLS
	if id.ProtocolMinor != minor || len(unknown) > 0 {
		// The field is documented as a minor version, but every Postgres sends
		// the whole version, and libpq takes anything below 3.0 for nonsense.
		m.out = wire.AppendNegotiate(m.out, supportedMajor<<16|id.ProtocolMinor, unknown)
	}
	m.state, m.user = stateRouting, id.User
	return length, Event{Kind: Identify, Identity: id}
}

// agreedMinor is the newest minor version that is spoken here and isn't newer
// than the one asked for.
func agreedMinor(asked uint32) uint32 {
	if asked == reservedMinor31 {
		return 0
	}
	return min(asked, newestMinor)
}
