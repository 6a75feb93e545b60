package reactor

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What follows is the kernel's interface, as linux/io_uring.h has it.

const (
	opPollAdd     = 6
	opAsyncCancel = 14
	opSend        = 26
	opRecv        = 27

	sqeBufferSelect = 1 << 5
	recvPollFirst   = 1 << 0 // don't try before something has arrived

	cqeBuffer      = 1 << 0 // the upper half of flags is the number of a buffer
	cqeBufferShift = 16

	setupCQSize       = 1 << 3
	setupDisabled     = 1 << 6
	setupSubmitAll    = 1 << 7
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13

	featureSingleMmap = 1 << 0

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3

	offsetSQEs = 0x10000000

	registerEnableRings = 12
	registerBufferRing  = 22
	registerSyncCancel  = 24

	cancelAll = 1 << 0
	cancelAny = 1 << 2
)

type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32

	_  [3]uint32
	sq struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// submission is a request to the kernel.
type submission struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	offset   uint64
	addr     uint64
	length   uint32
	opFlags  uint32
	userData uint64
	group    uint16
	_        uint16
	_        int32
	_        [2]uint64
}

// completion is the kernel's answer.
type completion struct {
	userData uint64
	res      int32
	flags    uint32
}

type eventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	_         uint32
	timeout   uint64
}

type bufferRingArg struct {
	addr    uint64
	entries uint32
	group   uint16
	_       uint16
	_       [3]uint64
}

type syncCancelArg struct {
	addr    uint64
	fd      int32
	flags   uint32
	timeout [2]int64
	opcode  uint8
	_       [7]uint8
	_       [3]uint64
}

const (
	ringEntries       = 256
	completionEntries = 2048
)

// ring is a pair of queues shared with the kernel: submissions go in,
// completions come out. Only the thread that enables it may enter it.
type ring struct {
	fd      int
	enabled bool
	queues  []byte
	entries []byte

	sqHead, sqTail *uint32
	sqMask         uint32
	sqes           []submission
	tail           uint32 // of sqes filled in, not yet shown to the kernel

	cqHead, cqTail *uint32
	cqMask         uint32
	cqes           []completion

	arg eventsArg
	ts  unix.Timespec
}

func newRing() (*ring, error) {
	params := ringParams{
		flags:     setupCQSize | setupSubmitAll | setupSingleIssuer | setupDeferTaskrun | setupDisabled,
		cqEntries: completionEntries,
	}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup (needs Linux 6.1, and a permission that containers often lack): %w", errno)
	}
	r := &ring{fd: int(fd)}
	if err := r.share(&params); err != nil {
		r.close()
		return nil, err
	}
	// A ring that isn't enabled refuses to be entered with EBADFD; a filter of
	// system calls does it with something else.
	if _, errno := r.rawEnter(0, 0, 0); errno != unix.EBADFD {
		r.close()
		return nil, fmt.Errorf("io_uring_enter: %w", errno)
	}
	return r, nil
}

// share maps the queues.
func (r *ring) share(p *ringParams) (err error) {
	if p.features&featureSingleMmap == 0 {
		return fmt.Errorf("io_uring of an old kernel")
	}
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(completion{})))
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.queues, err = unix.Mmap(r.fd, 0, int(size), prot, flags); err != nil {
		return fmt.Errorf("mapping io_uring's queues: %w", err)
	}
	size = p.sqEntries * uint32(unsafe.Sizeof(submission{}))
	if r.entries, err = unix.Mmap(r.fd, offsetSQEs, int(size), prot, flags); err != nil {
		return fmt.Errorf("mapping io_uring's submissions: %w", err)
	}
	at := func(offset uint32) unsafe.Pointer { return unsafe.Pointer(&r.queues[offset]) }
	r.sqHead, r.sqTail, r.sqMask = (*uint32)(at(p.sq.head)), (*uint32)(at(p.sq.tail)), *(*uint32)(at(p.sq.mask))
	r.cqHead, r.cqTail, r.cqMask = (*uint32)(at(p.cq.head)), (*uint32)(at(p.cq.tail)), *(*uint32)(at(p.cq.mask))
	r.sqes = unsafe.Slice((*submission)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*completion)(at(p.cq.cqes)), p.cqEntries)
	array := unsafe.Slice((*uint32)(at(p.sq.array)), p.sqEntries)
	for i := range array {
		array[i] = uint32(i)
	}
	return nil
}

// enable binds the ring to the calling thread.
func (r *ring) enable() error {
	if errno := r.register(registerEnableRings, nil, 0); errno != 0 {
		return fmt.Errorf("enabling io_uring: %w", errno)
	}
	r.enabled = true
	return nil
}

func (r *ring) register(op uintptr, arg unsafe.Pointer, n uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), op, uintptr(arg), n, 0, 0)
	return errno
}

// full reports whether there is no place for another submission.
func (r *ring) full() bool {
	return r.tail-atomic.LoadUint32(r.sqHead) >= uint32(len(r.sqes))
}

// next is the next free submission, blank. There must be one.
func (r *ring) next() *submission {
	s := &r.sqes[r.tail&r.sqMask]
	*s = submission{}
	r.tail++
	return s
}

func (r *ring) rawEnter(submit, wait uint32, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), flags, 0, 0)
	return int(n), errno
}

// submit gives all submissions to the kernel and lets it do what is due,
// without blocking. Submissions that can be carried out at once are complete
// when it returns.
func (r *ring) submit() unix.Errno {
	atomic.StoreUint32(r.sqTail, r.tail)
	_, errno := r.rawEnter(r.tail-atomic.LoadUint32(r.sqHead), 0, enterGetEvents)
	return errno
}

// unsubmitted is how many submissions the kernel hasn't taken.
func (r *ring) unsubmitted() uint32 { return r.tail - atomic.LoadUint32(r.sqHead) }

// sleep blocks until something is complete or the timeout has passed.
// Negative: without one.
func (r *ring) sleep(timeout time.Duration) unix.Errno {
	r.arg = eventsArg{}
	if timeout >= 0 {
		r.ts = unix.NsecToTimespec(timeout.Nanoseconds())
		r.arg.timeout = uint64(uintptr(unsafe.Pointer(&r.ts)))
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, enterGetEvents|enterExtArg,
		uintptr(unsafe.Pointer(&r.arg)), unsafe.Sizeof(r.arg))
	return errno
}

// take moves all completions behind list.
func (r *ring) take(list []completion) []completion {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		list = append(list, r.cqes[head&r.cqMask])
	}
	atomic.StoreUint32(r.cqHead, head)
	return list
}

// close ends all requests. When it returns, the kernel writes nowhere any more.
func (r *ring) close() {
	if r.enabled {
		r.tail = atomic.LoadUint32(r.sqHead) // what wasn't submitted refers to things that are gone
		arg := syncCancelArg{fd: -1, flags: cancelAll | cancelAny, timeout: [2]int64{-1, -1}}
		_ = r.register(registerSyncCancel, unsafe.Pointer(&arg), 1)
		r.submit() // has the cancelled ones end, which lets go of their sockets
	}
	_ = unix.Close(r.fd)
	if r.entries != nil {
		_ = unix.Munmap(r.entries)
	}
	if r.queues != nil {
		_ = unix.Munmap(r.queues)
	}
}
