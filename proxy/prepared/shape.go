package prepared

import (
	"hash/maphash"

	"carpool/proxy/wire"
)

// Shape stands for what a statement takes and returns: equal shapes, equal
// types. Of either part 0 means that it isn't known.
type Shape struct {
	Rows   uint64 // names, types and type modifiers of the columns; or that there are none
	Params uint64 // types of the parameters
}

// shapeSeed makes shapes differ between processes, so that nobody can look for
// two that collide.
var shapeSeed = maphash.MakeSeed()

// ShapeOfRows is the Rows of a statement with the given RowDescription, of which
// there may be only the beginning, or nil for NoData. It is never 0. Whether a
// column comes from a table, and in which format, doesn't matter: Postgres
// doesn't count these towards the type of a result either.
func ShapeOfRows(description []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(shapeSeed)
	c := wire.Cursor{Rest: description}
	if count, ok := c.Bytes(2); ok {
		_, _ = h.Write(count)
	}
	for len(c.Rest) > 0 {
		name, ok := c.String()
		if !ok {
			_, _ = h.Write(c.Rest)
			break
		}
		_, _ = h.Write(name)
		_ = h.WriteByte(0)
		// Table, attribute, type, size, modifier, format.
		rest, ok := c.Bytes(4 + 2 + 4 + 2 + 4 + 2)
		if !ok {
			break
		}
		_, _ = h.Write(rest[6:10])
		_, _ = h.Write(rest[12:16])
	}
	return max(h.Sum64(), 1)
}

// ShapeOfParams is the Params of a statement with the given
// ParameterDescription, of which there may be only the beginning. It is never 0.
func ShapeOfParams(description []byte) uint64 {
	return max(maphash.Bytes(shapeSeed, description), 1)
}
