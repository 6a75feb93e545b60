package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"carpool/proxy/auth"
)

// ChannelBinding says whether a login is tied to the TLS connection that it
// goes through, in the words of libpq's channel_binding. A man in the middle
// can't pass such a login on, even if he can show a certificate that is
// trusted. Only SCRAM can be tied.
type ChannelBinding uint8

// The choices. The zero value is BindingPrefer.
const (
	BindingPrefer  ChannelBinding = iota // where the server offers it
	BindingRequire                       // or there is no login
	BindingDisable                       // never
)

// String is the choice's name in a configuration file.
func (b ChannelBinding) String() string {
	switch b {
	case BindingPrefer:
		return "prefer"
	case BindingRequire:
		return "require"
	case BindingDisable:
		return "disable"
	}
	return fmt.Sprintf("ChannelBinding(%d)", uint8(b))
}

// The SASL mechanisms spoken: RFC 5802 with the hash of RFC 7677, without
// channel binding and with it.
const (
	scramMechanism     = "SCRAM-SHA-256"
	scramPlusMechanism = "SCRAM-SHA-256-PLUS"
)

// The beginnings of a SCRAM exchange ("gs2-header" of RFC 5802, section 7).
const (
	gs2Without = "n,,"                      // we don't do channel binding
	gs2Missed  = "y,,"                      // we would, but weren't offered it
	gs2Bound   = "p=tls-server-end-point,," // we do, of this kind
)

// binding is how one SCRAM exchange is tied to its connection.
type binding struct {
	mechanism string
	gs2       string
	endpoint  []byte // what both ends know of the connection; only with gs2Bound
}

// bind chooses among the mechanisms that a server offers.
func (s *session) bind(offered []string) (binding, error) {
	want := s.target.TLS.ChannelBinding
	plain := slices.Contains(offered, scramMechanism)
	plus := slices.Contains(offered, scramPlusMechanism)
	able := want != BindingDisable && s.endpoint != nil
	switch {
	case plus && !s.encrypted:
		return binding{}, errors.New("the server offers channel binding outside TLS")
	case plus && able:
		return binding{mechanism: scramPlusMechanism, gs2: gs2Bound, endpoint: s.endpoint}, nil
	case want == BindingRequire && plus:
		return binding{}, errors.New("channel binding is required, and it isn't defined for the kind of signature that the server's certificate has")
	case want == BindingRequire:
		return binding{}, errors.New("channel binding is required, and the server doesn't offer it")
	case plain && able:
		// A server that did offer it, to somebody in between who has kept that
		// from us, refuses this.
		return binding{mechanism: scramMechanism, gs2: gs2Missed}, nil
	case plain:
		return binding{mechanism: scramMechanism, gs2: gs2Without}, nil
	}
	return binding{}, fmt.Errorf("the server offers the SASL mechanisms %q, none of which is supported", offered)
}

// endpointOf is what a login over the connection can be tied to; nil if there
// is nothing.
func endpointOf(state tls.ConnectionState) []byte {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return auth.EndPoint(state.PeerCertificates[0])
}
