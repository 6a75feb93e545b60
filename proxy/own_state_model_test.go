package proxy

import (
	"slices"
	"strings"
)

// What Postgres says a session must look like after what its client has said:
// a model to hold answers against (own_state_pg_test).

// slot is a parameter of the model's.
type slot int

const (
	slotPath slot = iota
	slotZone
	slotStyle
	slotTimeout
	slotName
	slotTenant
	slotMemory
	slotRole
	slotEncoding
	slots
)

var slotNames = [slots]string{
	"search_path", "TimeZone", "DateStyle", "statement_timeout", "application_name", "app.tenant", "work_mem", "role", "client_encoding",
}

// cell is one parameter: what the session has, and what the transaction has in
// its place.
type cell struct {
	session, local string
	masked         bool
}

func (c cell) value() string {
	if c.masked {
		return c.local
	}
	return c.session
}

const ownChannels = 6

// sight is everything about a session that a rollback takes back.
type sight struct {
	cells    [slots]cell
	channels [ownChannels]bool // what is listened on from the commit on
	notes    int               // of the transaction's, how many there are
}

// frame is a transaction or a savepoint: what was there when it began.
type frame struct {
	name string
	sight
}

// mind is what a session must look like to its client.
type mind struct {
	base     [slots]string // what RESET leads to
	now      sight
	frames   []frame // the first one is the transaction
	implicit bool    // the transaction ends with the Query, or at Sync
	failed   bool
	plans    map[string]string // prepared statements: what they answer with before the place's name
	on       [ownChannels]bool // listened on
	notes    []ownNote         // sent in the transaction
	temp     string            // what the temporary table has in it
	lock     int               // the advisory lock it has; 0 is none
}

// ownNote is a notification in a transaction that isn't over.
type ownNote struct{ channel, number int }

func newMind(base [slots]string) *mind {
	m := &mind{base: base, plans: make(map[string]string)}
	for i := range m.now.cells {
		m.now.cells[i].session = base[i]
	}
	return m
}

func (m *mind) value(s slot) string { return m.now.cells[s].value() }

// status is that of ReadyForQuery, once the Query or batch is over.
func (m *mind) status() string {
	switch {
	case m.failed:
		return "E"
	case len(m.frames) > 0:
		return "T"
	}
	return "I"
}

// outside reports whether the client has no transaction open.
func (m *mind) outside() bool { return len(m.frames) == 0 || m.implicit }

func (m *mind) set(s slot, value string) { m.now.cells[s] = cell{session: value} }

func (m *mind) setLocal(s slot, value string) {
	c := &m.now.cells[s]
	c.local, c.masked = value, true
}

func (m *mind) reset(s slot) { m.set(s, m.base[s]) }

// resetAll takes back what RESET ALL does: a role isn't among it.
func (m *mind) resetAll() {
	for s := range slots {
		if s != slotRole {
			m.reset(s)
		}
	}
}

// open begins the transaction that a statement is in.
func (m *mind) open(implicit bool) {
	if len(m.frames) == 0 {
		m.frames = append(m.frames, frame{sight: m.now})
		m.implicit = implicit
		m.notes = m.notes[:0]
		return
	}
	m.implicit = m.implicit && implicit
}

// commit ends the transaction. sent is told of its notifications.
func (m *mind) commit(sent func(ownNote)) {
	for i := range m.now.cells {
		m.now.cells[i].masked = false
	}
	for _, n := range m.notes[:m.now.notes] {
		sent(n)
	}
	m.now.notes = 0
	m.on = m.now.channels
	m.frames, m.implicit = m.frames[:0], false
}

func (m *mind) rollback() {
	m.now = m.frames[0].sight
	m.frames, m.implicit, m.failed = m.frames[:0], false, false
}

func (m *mind) savepoint(name string) { m.frames = append(m.frames, frame{name, m.now}) }

func (m *mind) release(at int) { m.frames = m.frames[:at] }

func (m *mind) rollbackTo(at int) {
	m.now = m.frames[at].sight
	m.notes = m.notes[:m.now.notes]
	m.frames, m.failed = m.frames[:at+1], false
}

// fail is an error: what was done since the last savepoint is undone at once.
func (m *mind) fail() {
	if m.implicit {
		m.rollback()
		return
	}
	m.now = m.frames[len(m.frames)-1].sight
	m.notes = m.notes[:m.now.notes]
	m.failed = true
}

// discardAll is DISCARD ALL.
func (m *mind) discardAll() {
	m.resetAll()
	m.reset(slotRole)
	clear(m.plans)
	m.now.channels = [ownChannels]bool{}
	m.temp, m.lock = "", 0
}

// place is the name in the table that search_path leads to.
func (m *mind) place() string {
	first, _, _ := strings.Cut(m.value(slotPath), ",")
	return first
}

// dates and hours are how 2024-02-03 and the hour of the epoch look.
var (
	dates = map[string]string{
		"ISO, MDY": "2024-02-03", "ISO, DMY": "2024-02-03", "German, DMY": "03.02.2024", "SQL, DMY": "03/02/2024",
		"SQL, MDY": "02/03/2024", "Postgres, DMY": "03-02-2024", "Postgres, MDY": "02-03-2024",
	}
	hours = map[string]string{"UTC": "00", "Etc/UTC": "00", "GMT": "00", "Asia/Tokyo": "09", "Europe/Berlin": "01", "America/New_York": "19", "Asia/Kolkata": "05"}
)

// user is current_user.
func (m *mind) user() string {
	if role := m.value(slotRole); role != "none" {
		return role
	}
	return "postgres"
}

// shownBy is the query that shows a session, with an expression for what tells
// one answer from the next.
func shownBy(work string) string {
	parts := []string{work}
	for s := range slots {
		if s == slotTenant {
			parts = append(parts, "coalesce(current_setting('app.tenant', true), '')")
			continue
		}
		parts = append(parts, "current_setting('"+slotNames[s]+"')")
	}
	parts = append(parts, "current_user", "(select name from place)", "date '2024-02-03'", "to_char(to_timestamp(0), 'HH24')",
		"to_regclass('pg_temp.mine') is not null")
	return "select concat_ws('|', " + strings.Join(parts, ", ") + ")"
}

// shown is the answer to it.
func (m *mind) shown(work string) string {
	parts := []string{work}
	for s := range slots {
		parts = append(parts, m.value(s))
	}
	temp := "f"
	if m.temp != "" {
		temp = "t"
	}
	return strings.Join(append(parts, m.user(), m.place(), dates[m.value(slotStyle)], hours[m.value(slotZone)], temp), "|")
}

// misreported is a parameter of those that servers report, which the client was
// told otherwise; "" if there is none.
func (m *mind) misreported(told func(string) string) string {
	superuser := "on"
	if m.value(slotRole) != "none" {
		superuser = "off"
	}
	if got := told("is_superuser"); got != superuser {
		return "is_superuser is reported as " + got
	}
	for _, s := range []slot{slotZone, slotStyle, slotName, slotEncoding} {
		if got := told(slotNames[s]); got != m.value(s) {
			return slotNames[s] + " is reported as " + got + ", and is " + m.value(s)
		}
	}
	return ""
}

// said is a text in the client's encoding.
func (m *mind) said(text string) string {
	if m.value(slotEncoding) != "LATIN1" {
		return text
	}
	var b []byte
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}

// named are the names of the statements there are, in an order of their own.
func (m *mind) named() []string {
	var list []string
	for name := range m.plans {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
