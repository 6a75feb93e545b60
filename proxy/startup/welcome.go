package startup

import "carpool/proxy/wire"

// AppendWelcome appends what an authenticated client is sent before its first
// query: AuthenticationOk, statuses (whole ParameterStatus messages),
// BackendKeyData and ReadyForQuery. AuthenticationOk stands here and not at the end of the
// exchange, so that until now the client can be refused with a FATAL error.
// secret is 4 bytes long, or up to 256 if the client speaks protocol 3.2.
func AppendWelcome(dst, statuses []byte, pid uint32, secret []byte) []byte {
	dst = wire.AppendAuthentication(dst, wire.AuthOK, nil)
	dst = append(dst, statuses...)
	dst = wire.AppendBackendKeyData(dst, pid, secret)
	return wire.AppendReadyForQuery(dst, wire.TxIdle)
}
