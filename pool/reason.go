package pool

// Reason says why a value was closed. The zero Reason means that it wasn't.
type Reason uint8

// The reasons a value is closed for. The pool gives those up to ReasonResized
// itself; the others are for a lessee's Discard and an owner's Lost.
const (
	reasonNone        Reason = iota
	ReasonIdleTimeout        // lay idle for longer than Settings.IdleTimeout
	ReasonLifetime           // older than Settings.Lifetime
	ReasonEvicted            // gave up its place under a limit to a waiter elsewhere
	ReasonRetired            // Retire was called since it was dialed
	ReasonPaused             // its pool is paused
	ReasonRemoved            // its pool was removed
	ReasonShutdown           // the registry was shut down
	ReasonResized            // a limit was lowered below what is open
	ReasonLost               // found dead while idle
	ReasonBroken             // its connection failed
	ReasonProtocol           // it sent something it mustn't
	ReasonUnclean            // given back in a state that can't be cleaned
	ReasonTimeout            // a time limit of its user passed
	ReasonAdmin              // an operator asked for it
	reasonCount
)

// String returns a short lower-case phrase fit for logs and metric labels.
func (r Reason) String() string {
	switch r {
	case ReasonIdleTimeout:
		return "idle timeout"
	case ReasonLifetime:
		return "lifetime over"
	case ReasonEvicted:
		return "evicted"
	case ReasonRetired:
		return "retired"
	case ReasonPaused:
		return "paused"
	case ReasonRemoved:
		return "pool removed"
	case ReasonShutdown:
		return "shutdown"
	case ReasonResized:
		return "limit lowered"
	case ReasonLost:
		return "lost while idle"
	case ReasonBroken:
		return "broken"
	case ReasonProtocol:
		return "protocol violation"
	case ReasonUnclean:
		return "unclean"
	case ReasonTimeout:
		return "timeout"
	case ReasonAdmin:
		return "closed by operator"
	default:
		return "none"
	}
}
