package startup

import "carpool/proxy/wire"

// AppendWelcome appends what an authenticated client is sent before its first
// query: AuthenticationOk, statuses (whole ParameterStatus messages, any number
// in each), BackendKeyData and ReadyForQuery. AuthenticationOk stands here and not at the end of the
// exchange, so that until now the client can be refused with a FATAL error.
// secret is 4 bytes long, or up to 256 if the client speaks protocol 3.2.
func AppendWelcome(dst []byte, pid uint32, secret []byte, statuses ...[]byte) []byte {
	dst = wire.AppendAuthentication(dst, wire.AuthOK, nil)
	for _, s := range statuses {
		dst = append(dst, s...)
	}
	dst = wire.AppendBackendKeyData(dst, pid, secret)
	return wire.AppendReadyForQuery(dst, wire.TxIdle)
}
