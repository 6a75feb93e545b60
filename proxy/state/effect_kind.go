package state

// Kind is what an Effect does.
type Kind uint8

// The kinds of effects. What is in Name and Value is said where there is
// something in them.
const (
	// KindUnsure may leave anything behind; Reason says why.
	KindUnsure Kind = iota + 1

	// KindBegin is BEGIN or START TRANSACTION, written as Postgres has it; Value
	// is its list of modes as written.
	KindBegin
	// KindCommit is COMMIT or END.
	KindCommit
	// KindRollback is ROLLBACK or ABORT.
	KindRollback
	// KindSavepoint establishes the savepoint Name.
	KindSavepoint
	// KindRelease gives up the savepoint Name.
	KindRelease
	// KindRollbackTo goes back to the savepoint Name.
	KindRollbackTo
	// KindPrepareTransaction is the first half of a two-phase commit; Name is
	// the transaction's.
	KindPrepareTransaction
	// KindCommitPrepared and KindRollbackPrepared end the transaction Name of
	// anybody.
	KindCommitPrepared
	KindRollbackPrepared

	// KindSet sets the parameter Name to Value: by SET in all its spellings, or
	// by set_config. The role and session_authorization are parameters too;
	// setting the latter resets the former.
	KindSet
	// KindReset sets the parameter Name back to the session's default.
	KindReset
	// KindResetAll is RESET ALL. It leaves role and session_authorization.
	KindResetAll
	// KindSetTransaction is a setting of the transaction alone: SET TRANSACTION,
	// SET CONSTRAINTS.
	KindSetTransaction

	// KindPrepare is an SQL PREPARE of the statement Name: Value is its text, to
	// be classified when it is executed, and Types its types.
	KindPrepare
	// KindExecute is EXECUTE of the statement Name, whatever that does; of the
	// transaction if it is only named, as by EXPLAIN.
	KindExecute
	// KindDeallocate drops the statement Name.
	KindDeallocate
	// KindDeallocateAll drops all statements, those of the protocol too.
	KindDeallocateAll

	// KindDiscardAll is DISCARD ALL.
	KindDiscardAll
	// KindDiscardPlans drops cached plans, which nobody can tell.
	KindDiscardPlans
	// KindDiscardSequences forgets what currval and lastval have to say.
	KindDiscardSequences
	// KindDiscardTemporary drops the temporary tables.
	KindDiscardTemporary

	// KindDeclareCursor opens the cursor Name: WITH HOLD if it is of the
	// session.
	KindDeclareCursor
	// KindFetch moves the cursor Name.
	KindFetch
	// KindCloseCursor closes the cursor Name.
	KindCloseCursor
	// KindCloseAll closes all cursors.
	KindCloseAll

	// KindListen listens on the channel Name, from the commit on.
	KindListen
	// KindUnlisten stops that.
	KindUnlisten
	// KindUnlistenAll stops listening on all channels.
	KindUnlistenAll
	// KindNotify sends Value to those who listen on the channel Name.
	KindNotify

	// KindCreateTemporary creates the temporary object Name; of the transaction
	// if it is ON COMMIT DROP. It may hide one of the same name.
	KindCreateTemporary
	// KindDrop drops the object Name, perhaps a temporary one. It is a change of
	// the schema too.
	KindDrop
	// KindChangeSchema changes what tables and functions there are, or how they
	// look: prepared statements may no longer be what they were.
	KindChangeSchema
	// KindChangeDefaults changes the parameters that later sessions begin with.
	KindChangeDefaults

	// KindAdvisoryLock takes an advisory lock of the session.
	KindAdvisoryLock
	// KindAdvisoryTryLock takes one if it is free; the answer says so.
	KindAdvisoryTryLock
	// KindAdvisoryUnlock gives one back. Locks count, and others may be held.
	KindAdvisoryUnlock
	// KindAdvisoryUnlockAll gives all back.
	KindAdvisoryUnlockAll

	// KindLoad loads the library Name into the server, for good.
	KindLoad
	// KindSequenceAdvance is nextval or setval, after which currval and lastval
	// have an answer. What the defaults of columns do isn't seen.
	KindSequenceAdvance
	// KindSequenceRead is currval or lastval.
	KindSequenceRead
	// KindSeed sets the seed of random().
	KindSeed
	// KindConnect opens a connection that belongs to the session (dblink).
	KindConnect
	// KindDisconnect closes one.
	KindDisconnect

	// KindCopyIn is COPY FROM STDIN.
	KindCopyIn
	// KindCopyOut is COPY TO STDOUT.
	KindCopyOut
	// KindAlone is a statement that Postgres refuses inside of a transaction.
	KindAlone

	kinds // their number, and one
)

var kindNames = [kinds]string{
	KindUnsure: "unsure",
	KindBegin:  "begin", KindCommit: "commit", KindRollback: "rollback",
	KindSavepoint: "savepoint", KindRelease: "release", KindRollbackTo: "rollback to",
	KindPrepareTransaction: "prepare transaction", KindCommitPrepared: "commit prepared", KindRollbackPrepared: "rollback prepared",
	KindSet: "set", KindReset: "reset", KindResetAll: "reset all", KindSetTransaction: "set transaction",
	KindPrepare: "prepare", KindExecute: "execute", KindDeallocate: "deallocate", KindDeallocateAll: "deallocate all",
	KindDiscardAll: "discard all", KindDiscardPlans: "discard plans", KindDiscardSequences: "discard sequences",
	KindDiscardTemporary: "discard temporary",
	KindDeclareCursor:    "declare cursor", KindFetch: "fetch", KindCloseCursor: "close", KindCloseAll: "close all",
	KindListen: "listen", KindUnlisten: "unlisten", KindUnlistenAll: "unlisten all", KindNotify: "notify",
	KindCreateTemporary: "create temporary", KindDrop: "drop", KindChangeSchema: "change schema", KindChangeDefaults: "change defaults",
	KindAdvisoryLock: "advisory lock", KindAdvisoryTryLock: "advisory try-lock", KindAdvisoryUnlock: "advisory unlock",
	KindAdvisoryUnlockAll: "advisory unlock all",
	KindLoad:              "load", KindSequenceAdvance: "sequence advance", KindSequenceRead: "sequence read", KindSeed: "seed",
	KindConnect: "connect", KindDisconnect: "disconnect",
	KindCopyIn: "copy in", KindCopyOut: "copy out", KindAlone: "alone",
}

func (k Kind) String() string {
	if k < kinds && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// Holdings is a set of kinds of state that a session can hold.
type Holdings uint16

// The kinds of state of a session.
const (
	HoldsParameters Holdings = 1 << iota
	HoldsStatements
	HoldsCursors
	HoldsListens
	HoldsTemporary
	HoldsAdvisoryLocks
	HoldsLibraries
	HoldsSequences
	HoldsSeed
	HoldsConnections

	// HoldsAnything is all of them.
	HoldsAnything Holdings = 1<<iota - 1
	// HoldsUnknown is what has no name: it may be anything, and nobody can ask
	// for it.
	HoldsUnknown = HoldsAnything + 1
)

// Makes is the state that the effect may leave in its session after the end of
// the transaction. An EXECUTE makes what the statement does that it executes.
func (e *Effect) Makes() Holdings {
	if e.Scope == ScopeTransaction {
		return 0
	}
	switch e.Kind {
	case KindUnsure:
		if e.Reason == ReasonTemporaryPath {
			return HoldsTemporary
		}
		if e.Reason == ReasonSettingsView {
			return HoldsParameters
		}
		return HoldsAnything
	case KindSet, KindReset, KindResetAll:
		return HoldsParameters
	case KindPrepare:
		return HoldsStatements
	case KindDeclareCursor:
		return HoldsCursors
	case KindListen:
		return HoldsListens
	case KindCreateTemporary:
		return HoldsTemporary
	case KindAdvisoryLock, KindAdvisoryTryLock:
		return HoldsAdvisoryLocks
	case KindLoad:
		return HoldsLibraries
	case KindSequenceAdvance:
		return HoldsSequences
	case KindSeed:
		return HoldsSeed
	case KindConnect:
		return HoldsConnections
	}
	return 0
}

// Ends is the state of which the effect may take something away, so that it is
// worth asking whether any is left.
func (e *Effect) Ends() Holdings {
	switch e.Kind {
	case KindDiscardAll:
		return HoldsAnything &^ (HoldsLibraries | HoldsSeed | HoldsConnections)
	case KindReset, KindResetAll:
		return HoldsParameters
	case KindDeallocate, KindDeallocateAll:
		return HoldsStatements
	case KindCloseCursor, KindCloseAll:
		return HoldsCursors
	case KindUnlisten, KindUnlistenAll:
		return HoldsListens
	case KindDrop, KindDiscardTemporary:
		return HoldsTemporary
	case KindAdvisoryUnlock, KindAdvisoryUnlockAll:
		return HoldsAdvisoryLocks
	case KindDiscardSequences:
		return HoldsSequences
	case KindDisconnect:
		return HoldsConnections
	}
	return 0
}

// Lasts reports whether the effect stays although its transaction is rolled
// back, or the statement fails after it.
func (e *Effect) Lasts() bool {
	switch e.Kind {
	case KindUnsure, KindPrepare, KindDeallocate, KindDeallocateAll, KindCloseCursor, KindCloseAll, KindFetch,
		KindAdvisoryLock, KindAdvisoryTryLock, KindAdvisoryUnlock, KindAdvisoryUnlockAll,
		KindLoad, KindSequenceAdvance, KindDiscardSequences, KindDiscardPlans, KindSeed, KindConnect, KindDisconnect:
		return true
	}
	return false
}
