package upstream

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"carpool/proxy/auth"
	"carpool/proxy/wire"
)

// authenticate answers the server's requests until it says AuthenticationOk.
func (s *session) authenticate() error {
	var exchange *scram
	for {
		typ, body, err := s.receive()
		if err != nil {
			return err
		}
		switch typ {
		case wire.Authentication:
		case wire.ErrorResponse:
			return s.refuse(body, StepLogin)
		case wire.NoticeResponse, wire.NegotiateProtocolVersion:
			// We ask for 3.0 without options, so there is nothing to negotiate;
			// a server that says so all the same does no harm.
			continue
		default:
			return unexpected(typ, StepLogin)
		}
		c := wire.Cursor{Rest: body}
		code, ok := c.Uint32()
		if !ok {
			return errors.New("malformed authentication request")
		}
		if code == wire.AuthOK {
			switch {
			case exchange != nil && !exchange.done:
				return errors.New("the server broke off SCRAM authentication without proving who it is")
			case exchange == nil && s.target.TLS.ChannelBinding == BindingRequire:
				return errors.New("channel binding is required, and the server let us in without a proof")
			}
			return nil
		}
		answer, err := s.answer(code, c.Rest, &exchange)
		if err != nil {
			return err
		}
		if answer == nil {
			continue
		}
		if err := s.send(wire.AppendPassword(nil, answer)); err != nil {
			return err
		}
	}
}

// answer returns the body of the message that answers an authentication
// request; nil if none is expected.
func (s *session) answer(code uint32, data []byte, exchange **scram) ([]byte, error) {
	if *exchange != nil && code != wire.AuthSASLContinue && code != wire.AuthSASLFinal {
		return nil, fmt.Errorf("the server asks for %s in the middle of SCRAM authentication", method(code))
	}
	switch code {
	case wire.AuthCleartextPassword, wire.AuthMD5Password, wire.AuthSASL:
		return s.begin(code, data, exchange)
	case wire.AuthSASLContinue:
		if *exchange == nil {
			return nil, errors.New("the server continues a SCRAM authentication that never began")
		}
		return (*exchange).reply(data)
	case wire.AuthSASLFinal:
		if *exchange == nil {
			return nil, errors.New("the server ends a SCRAM authentication that never began")
		}
		return nil, (*exchange).finish(data)
	}
	return nil, fmt.Errorf("the server asks for %s, which isn't supported", method(code))
}

// begin answers a server's choice of a method.
func (s *session) begin(code uint32, data []byte, exchange **scram) ([]byte, error) {
	if code != wire.AuthSASL && s.target.TLS.ChannelBinding == BindingRequire {
		return nil, fmt.Errorf("channel binding is required, and the server asks for %s, which has none", method(code))
	}
	secret := s.target.secret()
	kind := secret.Kind()
	keys, passed := secret.Keys()
	switch {
	case kind == auth.NoSecret:
		return nil, &CredentialError{Method: method(code), User: s.target.User}
	case code == wire.AuthMD5Password && (kind == auth.PlainSecret || kind == auth.MD5Secret):
		if len(data) != 4 {
			return nil, errors.New("malformed request for an md5 password")
		}
		return wire.AppendString(nil, md5Answer(s.target.User, secret.Reveal(), kind, data)), nil
	case code == wire.AuthSASL && passed:
		return s.beginSCRAM(data, passedOn{keys, s.target.User}, exchange)
	case kind != auth.PlainSecret:
		return nil, &CredentialError{Method: method(code), User: s.target.User, Kind: kind, Unproven: code == wire.AuthSASL && kind == auth.SCRAMSecret}
	case strings.IndexByte(secret.Reveal(), 0) >= 0:
		return nil, fmt.Errorf("the password for user %q contains a zero byte", s.target.User)
	case code == wire.AuthCleartextPassword:
		return wire.AppendString(nil, secret.Reveal()), nil
	}
	return s.beginSCRAM(data, password{secret.Reveal(), &s.target.keys}, exchange)
}

// beginSCRAM chooses among the SASL mechanisms that are offered, and returns the
// first message.
func (s *session) beginSCRAM(data []byte, secret scramSecret, exchange **scram) ([]byte, error) {
	offered, ok := mechanisms(data)
	if !ok {
		return nil, errors.New("malformed list of SASL mechanisms")
	}
	b, err := s.bind(offered)
	if err != nil {
		return nil, err
	}
	*exchange = newSCRAM(b, secret)
	return (*exchange).first(), nil
}

// mechanisms reads the list in an AuthenticationSASL request.
func mechanisms(data []byte) (list []string, ok bool) {
	const most = 16
	c := wire.Cursor{Rest: data}
	for len(list) < most {
		name, ok := c.String()
		if !ok {
			return nil, false
		}
		if len(name) == 0 {
			return list, true
		}
		list = append(list, string(name))
	}
	return nil, false
}

// method names what an authentication request asks for.
func method(code uint32) string {
	switch code {
	case wire.AuthKerberosV5:
		return "Kerberos V5 authentication"
	case wire.AuthCleartextPassword:
		return "a cleartext password"
	case wire.AuthMD5Password:
		return "an md5 password"
	case wire.AuthGSS, wire.AuthGSSContinue:
		return "GSSAPI authentication"
	case wire.AuthSSPI:
		return "SSPI authentication"
	case wire.AuthSASL:
		return "SCRAM authentication"
	}
	return fmt.Sprintf("authentication method %d", code)
}

// md5Answer is what answers AuthenticationMD5Password.
func md5Answer(user, password string, kind auth.SecretKind, salt []byte) string {
	inner := strings.TrimPrefix(password, "md5")
	if kind == auth.PlainSecret {
		sum := md5.Sum([]byte(password + user))
		inner = hex.EncodeToString(sum[:])
	}
	sum := md5.Sum(append([]byte(inner), salt...))
	return "md5" + hex.EncodeToString(sum[:])
}
