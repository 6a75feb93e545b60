package procfs

import "syscall"

// RaiseFileLimit sets the limit of open files to what we may have at the most, and returns the limit that is in force then;
// 0 when the system doesn't tell. Because it has been set it holds for our children too: Go gives children the lower limit
// that it found, unless the program sets one.
func RaiseFileLimit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	limit.Cur = limit.Max
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) != nil && syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
