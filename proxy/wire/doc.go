// Package wire turns bytes into Postgres messages and back: framing, type
// bytes, and the few decoders and encoders that a pooler needs because it must
// understand what passes through it.
//
// It is not a protocol library. A relay reads headers with ParseHeader and
// forwards bodies untouched; only what has to be understood is decoded, and
// everything that is decoded has a limit. Decoders never panic, never allocate
// in proportion to a length a peer has merely claimed, and return slices of
// their input, which are valid only as long as the input is.
//
// Source for every layout: "Message Formats" in Postgres's documentation of
// the frontend/backend protocol.
package wire
