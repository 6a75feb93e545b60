package reactor

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// providedSize is the size of a buffer that the kernel receives into, in
	// bytes. What fills one is read in larger pieces from then on.
	providedSize = 8 << 10
	// providedCount must be a power of two.
	providedCount = 256
	providedGroup = 0
)

type providedEntry struct {
	addr   uint64
	length uint32
	id     uint16
	tail   uint16 // of the ring, in its first entry only
}

// providedBuffers are the buffers that the kernel may receive into. It takes
// one from the ring for each receive that has something, and names it in the
// completion; from then on it is ours until give.
type providedBuffers struct {
	memory []byte // outside of Go's heap: the kernel writes here
	ring   []providedEntry
	data   []byte
	tail   uint16
}

// provide registers new buffers with r.
func provide(r *ring) (*providedBuffers, error) {
	page := os.Getpagesize()
	ringSize := (providedCount*int(unsafe.Sizeof(providedEntry{})) + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, ringSize+providedCount*providedSize,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("mapping buffers for io_uring: %w", err)
	}
	p := &providedBuffers{
		memory: memory,
		ring:   unsafe.Slice((*providedEntry)(unsafe.Pointer(&memory[0])), providedCount),
		data:   memory[ringSize:],
	}
	arg := bufferRingArg{addr: addressOf(memory), entries: providedCount, group: providedGroup}
	if errno := r.register(registerBufferRing, unsafe.Pointer(&arg), 1); errno != 0 {
		p.free()
		return nil, fmt.Errorf("registering buffers with io_uring: %w", errno)
	}
	for id := range providedCount {
		p.give(uint16(id))
	}
	return p, nil
}

func addressOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// bytes are the first n of the buffer with this id.
func (p *providedBuffers) bytes(id uint16, n int) []byte {
	start := int(id) * providedSize
	return p.data[start : start+n : start+providedSize]
}

// give lets the kernel use a buffer again.
func (p *providedBuffers) give(id uint16) {
	e := &p.ring[p.tail&(providedCount-1)]
	e.addr = addressOf(p.data[int(id)*providedSize:])
	e.length = providedSize
	e.id = id
	p.tail++
	// The tail lies in the upper half of a word whose lower half is the id of
	// the first entry.
	first := &p.ring[0]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&first.id)), uint32(first.id)|uint32(p.tail)<<16)
}

// free gives the memory back, when the ring is closed.
func (p *providedBuffers) free() { _ = unix.Munmap(p.memory) }
