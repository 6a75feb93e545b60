package state

// Effect is one thing that a statement does to its session, or may do.
//
// Name, Value and Types belong to the Classifier that made the effect, or are
// parts of the text it read: they are good until either is used again.
// CloneEffects makes them last.
type Effect struct {
	Kind   Kind
	Scope  Scope
	Reason Reason // of an Unsure effect

	// Exact says that the effect takes place whenever the statement succeeds,
	// and that Name and Value are what the server will understand, once Bound is
	// filled in. Without it the effect may take place, once, often or not at
	// all, and an empty Name or Value isn't known.
	Exact bool
	// Chain is AND CHAIN at the end of a transaction.
	Chain bool
	// Placed says that where the object goes that a KindChangeSchema creates is
	// up to search_path: it is temporary if that begins with pg_temp.
	Placed bool

	// Name is what the kind says: a parameter, a savepoint, a statement, a
	// channel; without quotes and with letters folded as the server does it, in
	// the client's encoding.
	Name []byte
	// Value is the value of a parameter as set_config takes it, the payload of a
	// notification, the statement in a PREPARE.
	Value []byte
	// Types are the types of a PREPARE, as written, without the parentheses.
	Types []byte
	// Bound are the numbers of the parameters ($1 is 1, zero is none) of a
	// prepared statement that stand for Name, Value and the is_local of a
	// set_config. Where is_local is bound the Scope is of the session until it
	// is known to be true.
	Bound [3]uint16

	// Statement counts the statements of a text from zero, empty ones left out.
	Statement int
	// Start and End are where in the text that statement is, without its
	// semicolon.
	Start, End int
}

// CloneEffects appends copies of effects to dst that own all they refer to.
func CloneEffects(dst, effects []Effect) []Effect {
	size := 0
	for i := range effects {
		size += len(effects[i].Name) + len(effects[i].Value) + len(effects[i].Types)
	}
	room := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		start := len(room)
		room = append(room, b...)
		return room[start:len(room):len(room)]
	}
	for _, e := range effects {
		e.Name, e.Value, e.Types = own(e.Name), own(e.Value), own(e.Types)
		dst = append(dst, e)
	}
	return dst
}

// Scope is how long an effect lasts.
type Scope uint8

// The scopes.
const (
	// ScopeSession lasts until it is undone or the session ends.
	ScopeSession Scope = iota
	// ScopeTransaction is over at the end of the transaction.
	ScopeTransaction
)

func (s Scope) String() string {
	if s == ScopeTransaction {
		return "transaction"
	}
	return "session"
}

// Reason is why it can't be said surely what a statement does.
type Reason uint8

// The reasons.
const (
	// ReasonNone belongs to effects that are known.
	ReasonNone Reason = iota
	// ReasonIncomplete: a string, quoted name or comment doesn't end. Postgres
	// refuses such a text as a whole.
	ReasonIncomplete
	// ReasonAmbiguous: what the text says depends on an encoding or on a setting
	// of standard_conforming_strings that isn't known.
	ReasonAmbiguous
	// ReasonSyntax: a statement of a known kind, not written as Postgres has it.
	ReasonSyntax
	// ReasonUnknownStatement: the first word begins no statement of Postgres.
	ReasonUnknownStatement
	// ReasonBlock: a DO block runs code that isn't read.
	ReasonBlock
	// ReasonProcedure: CALL runs code that isn't read.
	ReasonProcedure
	// ReasonFunction: a function is called that is known to leave something
	// behind in the session for which there is no kind of its own.
	ReasonFunction
	// ReasonRunsText: a function is called that runs a query it gets as a value.
	ReasonRunsText
	// ReasonTemporaryPath: search_path may begin with pg_temp now, after which
	// everything that is created is temporary.
	ReasonTemporaryPath
	// ReasonSettingsView: pg_settings is updated, which sets parameters.
	ReasonSettingsView
	// ReasonTooMany: the text has more effects than MaxEffects.
	ReasonTooMany
)

var reasonNames = [...]string{
	"", "incomplete text", "ambiguous text", "syntax", "unknown statement", "DO block", "procedure", "function that leaves state",
	"function that runs text", "search_path with pg_temp", "update of pg_settings", "too many effects",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}
