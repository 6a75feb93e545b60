package supervise

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// screen is a pseudo terminal with a shell that has job control.
type screen struct {
	keyboard *os.File // the master side
	terminal *os.File
	shell    *exec.Cmd

	mu   sync.Mutex
	text strings.Builder // all that was shown
	read int             // how much of it the test has read
}

const prompt = "your turn> "

// openScreen starts an interactive shell on a new terminal.
func openScreen(t *testing.T) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{keyboard: master, terminal: terminal}
	s.shell = exec.Command("/bin/sh", "-i")
	s.shell.Env = append(os.Environ(), "PS1="+prompt, "ENV=")
	s.shell.Stdin, s.shell.Stdout, s.shell.Stderr = terminal, terminal, terminal
	s.shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.shell.Start(); err != nil {
		t.Fatal(err)
	}
	go s.watch() // ends when nobody has the terminal open
	t.Cleanup(func() {
		for _, pid := range session(s.shell.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = s.shell.Wait()
		terminal.Close()
		master.Close()
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Logf("the screen:\n%s", s.text.String())
		}
	})
	s.expect(t, prompt)
	return s
}

func (s *screen) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.keyboard.Read(buffer)
		s.mu.Lock()
		s.text.Write(buffer[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// expect waits until words are shown, and returns what was shown before them
// and after what was expected last.
func (s *screen) expect(t *testing.T, words string) string {
	t.Helper()
	before := ""
	await(t, strconv.Quote(words)+" on the screen", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		rest := s.text.String()[s.read:]
		at := strings.Index(rest, words)
		if at < 0 {
			return false
		}
		before = rest[:at]
		s.read += at + len(words)
		return true
	})
	return before
}

func (s *screen) write(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.keyboard.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// count is how often words were shown until now.
func (s *screen) count(words string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), words)
}

// run starts a supervised command from the shell and returns the pids of the
// supervisor and the command, which prints "ready PID".
func (s *screen) run(t *testing.T, line string) (supervisor, command int) {
	t.Helper()
	s.write(t, line+"\n")
	s.expect(t, "\nready ")
	command, err := strconv.Atoi(strings.TrimSpace(s.expect(t, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range mustList(t) {
		if p.pid == command {
			supervisor = p.parent
		}
	}
	return supervisor, command
}

func (s *screen) fence(t *testing.T, supervisor int) {
	t.Helper()
	for range 2 {
		kill(t, supervisor, syscall.SIGUSR1)
		s.expect(t, "got user defined signal 1")
	}
}

func (s *screen) settings(t *testing.T) unix.Termios {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *settings
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range []string{"", "-witness=false"} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			s := openScreen(t)
			settings := s.settings(t)
			supervisor, command := s.run(t, self+" supervisor "+flags+" -- "+self+" counter 2>/dev/null")
			s.fence(t, supervisor)

			// Each key and each change of size is heard once.
			for n := 1; n <= 3; n++ {
				s.write(t, "\x03")
				s.expect(t, "got interrupt")
				s.write(t, "\x1c")
				s.expect(t, "got quit")
				if err := unix.IoctlSetWinsize(int(s.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 20 + uint16(n), Col: 80}); err != nil {
					t.Fatal(err)
				}
				s.expect(t, "got window changed")
				s.fence(t, supervisor)
			}
			// Ctrl-Z stops both, as the shell notices; fg continues both.
			for range 3 {
				s.write(t, "\x1a")
				s.expect(t, prompt)
				for _, pid := range []int{supervisor, command} {
					if state := processState(pid); state != "T" {
						t.Errorf("process %d is in state %q after Ctrl-Z", pid, state)
					}
				}
				s.write(t, "fg\n")
				s.expect(t, "got continued")
				s.fence(t, supervisor)
			}
			for _, words := range []string{"got interrupt", "got quit", "got window changed", "got continued"} {
				if n := s.count(words); n != 3 {
					t.Errorf("%q: %d times", words, n)
				}
			}
			kill(t, supervisor, syscall.SIGUSR2)
			s.expect(t, prompt)
			if after := s.settings(t); after != settings {
				t.Errorf("the terminal's settings were %v and are %v", settings, after)
			}
		})
	}
}

// A signal to us alone is forwarded from the foreground of a terminal too.
func TestKillInForeground(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := openScreen(t)
	supervisor, command := s.run(t, self+" supervisor -- "+self+" counter 2>/dev/null")
	kill(t, supervisor, syscall.SIGINT)
	s.expect(t, "got interrupt")
	kill(t, supervisor, syscall.SIGTSTP)
	s.expect(t, prompt)
	if state := processState(command); state != "T" {
		t.Errorf("state %q", state)
	}
	s.write(t, "fg\n")
	s.expect(t, "got continued")
	s.fence(t, supervisor)
	if n := s.count("got interrupt"); n != 1 {
		t.Errorf("%d interrupts", n)
	}
}

// A command that reads the terminal does so as without us: in the foreground it
// gets what is typed, in the background it is stopped and so are we.
func TestReadingFromTerminal(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := openScreen(t)
	supervisor, command := s.run(t, self+` supervisor -- sh -c 'echo ready $$; read a; echo "<$a>"; read b; echo "<$b>"; exit 3' 2>/dev/null`)
	s.write(t, "one\n")
	s.expect(t, "<one>")
	s.write(t, "\x1a")
	s.expect(t, prompt)
	s.write(t, "bg\n")
	s.expect(t, prompt)
	await(t, "the command stopped in the background", func() bool { return processState(command) == "T" })
	await(t, "the supervisor stopped in the background", func() bool { return processState(supervisor) == "T" })
	s.write(t, "fg\n")
	s.write(t, "two\n")
	s.expect(t, "<two>")
	s.expect(t, prompt)
	s.write(t, "echo status $?\n")
	s.expect(t, "\nstatus 3")
}

// A command that asks not to be stopped goes on, and so do we.
func TestCommandThatDoesNotStop(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := openScreen(t)
	supervisor, _ := s.run(t, self+` supervisor -- sh -c 'trap "" TSTP; exec `+self+` counter' 2>/dev/null`)
	s.write(t, "\x1a")
	s.fence(t, supervisor)
	if state := processState(supervisor); state == "T" {
		t.Error("the supervisor has stopped")
	}
	s.write(t, "\x03")
	s.expect(t, "got interrupt")
	s.fence(t, supervisor)
	if n := s.count("got interrupt"); n != 1 {
		t.Errorf("%d interrupts", n)
	}
}
