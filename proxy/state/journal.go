package state

import "slices"

// Journal tells which deeds of a client came to stand on a server: what was
// done in a transaction stands once that is committed, and what was rolled
// back, by an error, by ROLLBACK or to a savepoint, was never done. The zero
// value is ready, keeps LISTEN and its kin, and uses no memory until there is
// one.
//
// It is told, in the server's order, what was done and what failed, and answers
// when the server is idle. It needs to be told only of effects that it Follows,
// and of those that control transactions only while it is Busy or an effect
// that it keeps is under way: a savepoint it wasn't told of is older than
// anything it keeps. Not safe for concurrent use.
type Journal struct {
	// Keeps are the kinds of state whose effects are kept, of HoldsListens,
	// HoldsParameters and HoldsStatements; zero is HoldsListens. Not to be
	// changed while the Journal is Busy.
	Keeps Holdings

	// deeds are what was done: the first stood of them came to stand, the others
	// wait for the end of their transaction.
	deeds []Effect
	stood int
	size  int // of the names and values in deeds, in bytes
	// savepoints are those of the transaction that were established after the
	// first of the waiting deeds, oldest first.
	savepoints []savepoint

	failed  bool // since the last ReadyForQuery
	aborted bool // the transaction waits for its ROLLBACK
	// discarded: a DISCARD ALL was done since the last ReadyForQuery.
	discarded bool
	lost      bool // the waiting deeds aren't known, only how they can end
	unknown   bool // what stands isn't known
}

// savepoint is one in a row of savepoints of the same name with no deed between
// them, which some drivers establish before each statement.
type savepoint struct {
	name  string
	row   int // how many there are, one hiding the other
	deeds int // how many deeds waited when they were established
}

// Limits of a Journal. Beyond them it doesn't know what stands.
const (
	maxJournalDeeds      = 1000
	maxJournalSize       = 64 << 10 // bytes of names and values
	maxJournalSavepoints = 1000
)

// Follows reports whether the Journal wants to be told when e is done.
func (j *Journal) Follows(e *Effect) bool {
	switch e.Kind {
	case KindCommitPrepared, KindRollbackPrepared, KindAlone, KindUnsure,
		KindCommit, KindRollback, KindPrepareTransaction, KindSavepoint, KindRelease, KindRollbackTo:
		return true
	}
	return j.keeps(e)
}

// Busy reports whether something is kept that Ready hasn't answered yet.
func (j *Journal) Busy() bool { return len(j.deeds) > 0 || j.lost || j.unknown || j.discarded }

// Done notes that the statement with effect e has completed: its CommandComplete
// has come, with the given tag, or PortalSuspended. Of a statement with several
// effects each is told, in their order. What is kept of e is copied; of a
// PREPARE that is the name.
func (j *Journal) Done(e *Effect, tag []byte) {
	if !j.Busy() && !j.keeps(e) {
		return
	}
	switch e.Kind {
	case KindCommit:
		// The end of a transaction that has failed, however it is spelt.
		if string(tag) == "ROLLBACK" {
			j.rollback()
		} else {
			j.commit()
		}
	case KindPrepareTransaction:
		// Its tag is ROLLBACK for want of a BEGIN too, when it is no more than a
		// COMMIT.
		if j.aborted {
			j.rollback()
		} else {
			j.commit()
		}
	case KindRollback:
		j.rollback()
	case KindSavepoint, KindRelease, KindRollbackTo:
		j.savepoint(e)
	case KindUnsure:
		// It may have done the same or the contrary, and a procedure may have
		// ended the transaction it was called in.
		if e.Makes()&j.kinds() != 0 {
			j.doubt()
		}
	case KindAlone, KindCommitPrepared, KindRollbackPrepared:
		// Only without a transaction around it; but old servers let it join those
		// that have come before it in a pipeline, and then commit these or don't.
		if j.waiting() > 0 || j.lost {
			j.doubt()
		}
	case KindDiscardAll:
		j.discard(e)
	default:
		if j.keeps(e) {
			j.note(e)
		}
	}
}

// Failed notes an ErrorResponse to the statement with the given effects, nil
// if there are none or it isn't known to which; they matter only where
// HoldsStatements is kept.
func (j *Journal) Failed(effects []Effect) {
	j.failed = true
	// What lasts may be there all the same: the last statement of a Query fails
	// if the commit after it does.
	for i := range effects {
		if e := &effects[i]; e.Lasts() && j.keeps(e) {
			j.doubt()
		}
	}
	// Newer servers commit a DISCARD ALL at once, older ones with the rest of the
	// pipeline, which has failed now.
	if j.discarded {
		j.doubt()
	}
}

// Ready notes a ReadyForQuery with the given status: I, T or E. With I it
// answers which of the kept deeds stand now, in the order in which they came to
// stand, and begins anew; the slice belongs to the caller. With T and E the
// answer is nothing yet. When it answers false, what stands isn't known, and the
// server has to be asked.
func (j *Journal) Ready(status byte) (stood []Effect, known bool) {
	failed := j.failed
	j.failed, j.discarded = false, false
	j.aborted = status == 'E' && j.Busy() // else its end isn't told
	if status != 'I' {
		// The transaction goes on, or waits for its ROLLBACK, which may be to a
		// savepoint.
		return nil, true
	}
	if !j.Busy() {
		return nil, true
	}
	// What hasn't been ended by a statement was a transaction of its own up to
	// here.
	if failed {
		j.rollback()
	} else {
		j.commit()
	}
	stood, known = j.deeds, !j.unknown
	*j = Journal{Keeps: j.Keeps}
	if !known {
		return nil, false
	}
	return stood, true
}

// kinds are the kinds of state of which effects are kept.
func (j *Journal) kinds() Holdings {
	if j.Keeps == 0 {
		return HoldsListens
	}
	return j.Keeps
}

// keeps reports whether e is to be remembered.
func (j *Journal) keeps(e *Effect) bool {
	switch e.Kind {
	case KindListen, KindUnlisten, KindUnlistenAll, KindSet, KindReset, KindResetAll,
		KindPrepare, KindDeallocate, KindDeallocateAll, KindDiscardAll:
		return e.Scope == ScopeSession && (e.Makes()|e.Ends())&j.kinds() != 0
	}
	return false
}

// waiting is the number of deeds that wait for the end of their transaction.
func (j *Journal) waiting() int { return len(j.deeds) - j.stood }

// note keeps a deed.
func (j *Journal) note(e *Effect) {
	if j.unknown || j.lost && !e.Lasts() {
		return
	}
	kept := *e
	if e.Kind == KindPrepare {
		kept.Value, kept.Types = nil, nil
	}
	if len(j.deeds) == maxJournalDeeds || j.size+sizeOf(&kept) > maxJournalSize {
		if e.Lasts() {
			j.doubt()
		} else {
			j.lose()
		}
		return
	}
	kept = CloneEffects(nil, []Effect{kept})[0]
	j.size += sizeOf(&kept)
	if e.Lasts() {
		j.deeds = slices.Insert(j.deeds, j.stood, kept)
		j.stood++
		return
	}
	j.deeds = append(j.deeds, kept)
}

// discard notes a DISCARD ALL, which succeeds only without a transaction around
// it. Part of it lasts whatever comes, so it stands now.
func (j *Journal) discard(e *Effect) {
	if j.waiting() > 0 || j.lost {
		j.doubt() // as with other statements that have to be alone
	}
	j.note(e)
	j.commit()
	j.discarded = true
}

// commit makes what waits stand.
func (j *Journal) commit() {
	if j.lost {
		j.doubt()
	}
	j.stood = len(j.deeds)
	j.savepoints = nil
}

// rollback takes back what waits.
func (j *Journal) rollback() {
	j.lost, j.aborted = false, false
	j.undo(0)
	j.savepoints = nil
}

// undo takes back all deeds that wait but the first n.
func (j *Journal) undo(n int) {
	gone := j.deeds[j.stood+n:]
	for i := range gone {
		j.size -= sizeOf(&gone[i])
	}
	clear(gone)
	j.deeds = j.deeds[:j.stood+n]
}

// lose gives up what waits: it stands or not, but what it is isn't known.
func (j *Journal) lose() {
	j.rollback()
	j.lost = true
}

// doubt gives up everything until the server is idle.
func (j *Journal) doubt() {
	j.stood = 0
	j.rollback()
	j.unknown = true
}

// savepoint follows the statements about savepoints. One that isn't found is
// older than what waits, since it exists on the server.
func (j *Journal) savepoint(e *Effect) {
	j.aborted = false // if it was, this is a ROLLBACK TO
	if j.waiting() == 0 {
		return
	}
	// Beyond ASCII one name can be written in several ways.
	if !e.Exact || !ascii(e.Name) {
		j.lose()
		return
	}
	if e.Kind == KindSavepoint {
		j.establish(e.Name)
		return
	}
	at := len(j.savepoints) - 1
	for at >= 0 && j.savepoints[at].name != string(e.Name) {
		at--
	}
	switch {
	case at < 0 && e.Kind == KindRelease:
		j.savepoints = nil
	case at < 0:
		j.undo(0)
		j.savepoints = nil
	case e.Kind == KindRollbackTo:
		j.undo(j.savepoints[at].deeds)
		j.savepoints = j.savepoints[:at+1]
	default:
		j.savepoints = j.savepoints[:at+1]
		if j.savepoints[at].row--; j.savepoints[at].row == 0 {
			j.savepoints = j.savepoints[:at]
		}
	}
}

// establish notes a new savepoint.
func (j *Journal) establish(name []byte) {
	if last := len(j.savepoints) - 1; last >= 0 {
		if s := &j.savepoints[last]; s.name == string(name) && s.deeds == j.waiting() {
			s.row++
			return
		}
	}
	if len(j.savepoints) == maxJournalSavepoints {
		j.lose()
		return
	}
	j.savepoints = append(j.savepoints, savepoint{name: string(name), row: 1, deeds: j.waiting()})
}

// sizeOf is what the names and values of an effect take.
func sizeOf(e *Effect) int { return len(e.Name) + len(e.Value) + len(e.Types) }
