package proxy

import "carpool/proxy/reactor"

// spliceCopy is up to how many bytes it is cheaper to copy behind what was
// inserted than to send them with a system call of their own.
const spliceCopy = 8 << 10

// splice passes a run of bytes on from one peer to the other with parts cut
// out and others put in. As long as nothing is cut or put in, nothing is
// copied.
type splice struct {
	src   []byte
	start int // src[start:pos] is to be passed on, behind out
	pos   int
	out   []byte // a scratch buffer of the loop
	kept  int    // from where in out on it is kept, if it is kept at all
}

// rest is what hasn't been decided on.
func (p *splice) rest() []byte { return p.src[p.pos:] }

// keep passes the next n bytes on.
func (p *splice) keep(n int) { p.pos += n }

// cut leaves the next n bytes out.
func (p *splice) cut(n int) {
	p.commit()
	p.pos += n
	p.start = p.pos
}

// insert is where bytes are appended that come next.
func (p *splice) insert() []byte {
	p.commit()
	return p.out
}

// commit moves what is to be passed on behind what was put in before.
func (p *splice) commit() {
	if p.start < p.pos {
		p.out = append(p.out, p.src[p.start:p.pos]...)
		p.start = p.pos
	}
}

// send sends everything to dst, and returns the number of bytes.
func (p *splice) send(dst *reactor.Conn) int {
	n := len(p.out) + p.pos - p.start
	switch {
	case n == 0:
	case len(p.out) == 0:
		dst.Send(p.src[p.start:p.pos])
	case p.pos-p.start <= spliceCopy:
		p.commit()
		dst.Send(p.out)
	default:
		dst.Send(p.out)
		dst.Send(p.src[p.start:p.pos])
	}
	p.start, p.out, p.kept = p.pos, p.out[:0], 0
	return n
}
