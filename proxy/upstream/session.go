package upstream

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// Limits on what a server may say during the login.
const (
	maxLoginBody     = 64 << 10 // bytes of one message
	maxLoginBytes    = 1 << 20  // of all messages, connect query included
	maxLoginMessages = 4096
)

// session is the conversation with one server up to the point where it is
// ready: a throw-away of Dial.
type session struct {
	link   io.ReadWriter
	target *Target
	host   HostPort

	encrypted bool   // the link is TLS
	endpoint  []byte // what the link's two ends can tie a login to; nil: nothing

	in       []byte // read but not consumed
	total    int    // bytes consumed
	messages int

	pid     uint32
	secret  []byte
	params  []wire.Param
	atLogin int      // how many of them came before the connect query
	row     []string // the last row of the connect query

	found    *state.Findings // of the question what that has set, while it is under way
	settings []wire.Param    // that it has
}

// logIn sends the start-up packet and answers until the server is ready, then
// runs the connect query ("Start-up" in Postgres's documentation of the message
// flow).
func (s *session) logIn(startup []wire.Param) error {
	if err := s.send(wire.AppendStartup(nil, wire.Protocol30, startup)); err != nil {
		return err
	}
	if err := s.authenticate(); err != nil {
		return err
	}
	if err := s.awaitReady(StepLogin); err != nil {
		return err
	}
	s.atLogin = len(s.params)
	if s.target.ConnectQuery == "" {
		return nil
	}
	if err := s.send(wire.AppendQuery(nil, s.target.ConnectQuery)); err != nil {
		return err
	}
	if err := s.awaitReady(StepConnectQuery); err != nil {
		_ = s.send(wire.AppendEmpty(nil, wire.Terminate)) // the session is good, only unwanted
		return err
	}
	if !s.target.ConnectSettings {
		return nil
	}
	return s.askSettings()
}

// askSettings asks which parameters the connect query has set. A server that
// refuses the question, which may be none of Postgres's own, has no answer.
func (s *session) askSettings() error {
	q := state.Question{Holds: state.HoldsParameters, All: true, Names: namesIn(s.target.ConnectQuery)}
	query := state.AppendAudit(nil, &q)
	var found *state.Findings
	for attempt := 1; ; attempt++ {
		if err := s.send(query); err != nil {
			return err
		}
		found = &state.Findings{}
		s.found = found
		err := s.awaitReady(StepConnectSettings)
		s.found = nil
		if err == nil {
			break
		}
		refused := (*LoginError)(nil)
		canceled := errors.As(err, &refused) && refused.Report.Code == queryCanceled // by a statement_timeout that was set
		switch {
		case refused == nil, refused.Report.Severity != "ERROR", canceled && attempt == mostQuestions:
			return err
		case !canceled:
			return nil
		}
	}
	for setting := range found.Settings() {
		if setting.Explicit {
			s.settings = append(s.settings, wire.Param{Name: setting.Name, Value: setting.Value})
		}
	}
	return nil
}

const (
	queryCanceled = "57014"
	mostQuestions = 5
)

// namesIn are the parameters that a query's text names: servers list custom ones
// only to those who know them.
func namesIn(query string) (names []string) {
	var c state.Classifier
	for _, e := range c.Classify([]byte(query), state.Dialect{}) {
		if name := string(e.Name); e.Kind == state.KindSet && state.Nameable(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// awaitReady reads up to ReadyForQuery, keeping the parameters and the key that
// come before.
func (s *session) awaitReady(step Step) error {
	var refusal error
	for {
		typ, body, err := s.receive()
		if err != nil {
			if refusal != nil {
				return refusal
			}
			return err
		}
		switch typ {
		case wire.ParameterStatus:
			name, value, ok := wire.ParseParameterStatus(body)
			if !ok {
				return errors.New("malformed ParameterStatus")
			}
			s.params = append(s.params, wire.Param{Name: string(name), Value: string(value)})
		case wire.BackendKeyData:
			pid, secret, ok := wire.ParseBackendKeyData(body)
			if !ok || step != StepLogin {
				return errors.New("malformed or misplaced BackendKeyData")
			}
			s.pid, s.secret = pid, append([]byte(nil), secret...)
		case wire.ErrorResponse:
			refusal = s.refuse(body, step)
			if step == StepLogin {
				return refusal // always the end of the connection
			}
		case wire.ReadyForQuery:
			status, ok := wire.ParseReadyForQuery(body)
			switch {
			case refusal != nil:
				return refusal
			case !ok:
				return errors.New("malformed ReadyForQuery")
			case status != wire.TxIdle:
				return fmt.Errorf("the server is inside a transaction after the %s", step)
			}
			return nil
		case wire.NoticeResponse, wire.NotificationResponse:
		case wire.DataRow:
			if s.found != nil {
				if !s.found.Row(body) {
					return errors.New("the server says of its settings what can't be")
				}
				continue
			}
			row, ok := parseRow(body)
			if !ok || step != StepConnectQuery {
				return unexpected(typ, step)
			}
			s.row = row
		case wire.RowDescription, wire.CommandComplete, wire.EmptyQueryResponse:
			if step != StepConnectQuery && step != StepConnectSettings {
				return unexpected(typ, step)
			}
		default:
			return unexpected(typ, step)
		}
	}
}

// parseRow reads the columns of a DataRow; NULL is read as "".
func parseRow(body []byte) (row []string, ok bool) {
	values, ok := parseValues(body)
	for _, v := range values {
		row = append(row, v.Text)
	}
	return row, ok
}

func unexpected(typ byte, step Step) error {
	return fmt.Errorf("unexpected message %q during %s", typ, step)
}

// refuse makes the error for an ErrorResponse.
func (s *session) refuse(body []byte, step Step) error {
	return &LoginError{Report: wire.ParseReport(body), Host: s.host, Step: step}
}

func (s *session) send(b []byte) error {
	if _, err := s.link.Write(b); err != nil {
		return fmt.Errorf("sending to the server: %w", err)
	}
	return nil
}

// receive returns the next message. body is good until the next call.
func (s *session) receive() (typ byte, body []byte, err error) {
	if err := s.fill(wire.HeaderLen); err != nil {
		return 0, nil, err
	}
	h, _, valid := wire.ParseHeader(s.in)
	if !valid || h.Body > maxLoginBody {
		return 0, nil, fmt.Errorf("the server sent a message %q of a length that isn't possible here", h.Type)
	}
	s.messages++
	s.total += h.Size()
	if s.messages > maxLoginMessages || s.total > maxLoginBytes {
		return 0, nil, errors.New("the server says too much before it is ready")
	}
	if err := s.fill(h.Size()); err != nil {
		return 0, nil, err
	}
	body, s.in = s.in[wire.HeaderLen:h.Size():h.Size()], s.in[h.Size():]
	return h.Type, body, nil
}

// fill reads until n bytes are there.
func (s *session) fill(n int) error {
	const chunk = 4 << 10
	if len(s.in) >= n {
		return nil
	}
	have := len(s.in)
	buf := make([]byte, max(n, chunk))
	copy(buf, s.in)
	for have < n {
		m, err := s.link.Read(buf[have:])
		have += m
		if err != nil && have < n {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading from the server: %w", err)
		}
	}
	s.in = buf[:have]
	return nil
}
