// Package supervise runs one command as if nothing stood in front of it:
// `carpool exec -- COMMAND` serves a pool in this process and has COMMAND as
// its child. It knows nothing of pools.
//
// # Life cycle
//
//  1. Start makes this process the reaper of what the command leaves behind,
//     starts a witness (below) and the command. The command inherits standard
//     streams, terminal, process group, working directory and limits.
//  2. The caller passes on every signal that it gets: Forward. Those that the
//     command didn't get by itself are sent to it.
//  3. Ended is closed when the command has ended; Status is its exit status,
//     or 128+n when signal n killed it.
//  4. What it left behind (daemons, workers whose master was killed) is waited
//     for. After Command.Patience it is told TERM, after Command.Grace more it
//     is killed, unless Command.Abandon says to leave it alone.
//  5. AllEnded is closed when nothing is left. The package's goroutines end
//     then too.
//
// Stop is for a caller that can't go on: TERM now, KILL later. If this process
// is killed outright, Linux sends the command a TERM, or several: one as each
// of our threads goes. An application that has lost its database had better be
// restarted.
//
// There is one Child at a time in a process, since it reaps whatever falls to
// the process. Other commands are run with Child.Run while it is there: a
// child that os/exec waits for on its own could be reaped under its hands.
//
// # Who got the signal?
//
// A command behind us must get each signal as often as it would without us.
// `kill PID`, `docker stop` and systemd's KillMode=mixed tell us alone, so the
// signal has to be forwarded. Ctrl-C and `kill -- -PGID` tell our process
// group, platforms such as Heroku and systemd's KillMode=control-group tell
// every process they find, and forwarding would make two of one: Celery and
// Sidekiq take a second TERM as "drop everything now".
//
// Nothing that the kernel tells us differs between these cases: siginfo has the
// sender and not the others it wrote to, a signal that another process has
// handled leaves no trace, and being in the terminal's foreground doesn't say
// that a signal came from there. So a third process is asked: the witness, a
// copy of this program in the command's process group that only notes signals.
// A signal that it got too, at about the same time, went to everybody and isn't
// forwarded. One that it didn't get is for us alone and is forwarded, once for
// each time that it came.
//
//   - Such a signal is forwarded a fifth of a second late: the time within
//     which a sender is believed to reach everybody.
//   - The witness can be taken in by somebody who signals us and the witness
//     but not the command. It runs under another name, so that `pkill carpool`
//     doesn't find it; tools that go by the file of the program (pidof and
//     killall of BusyBox) do. And somebody who writes to us and the command one
//     by one, but not to the witness, is heard twice.
//   - A command that has left our process group isn't vouched for, nor is any
//     when the witness is missing. Then TERM, INT and QUIT are forwarded once in
//     the life of the command, so a command hears at most one more of each than
//     was sent, and what a terminal sends isn't forwarded when we are in
//     its foreground.
//   - The first process of a container needs no witness when it has no terminal:
//     nothing in the container can broadcast to it. Everything is forwarded.
//
// # Terminal
//
// The terminal isn't touched. The command stays in our process group, so it is
// in the foreground when we are. When it stops (Ctrl-Z) we stop as well if a
// shell is watching us, after it has put the terminal in order, and not if it
// chose to go on; `fg` and `bg` continue the whole group.
//
// # Other systems
//
// Elsewhere than on Linux a process can't become the reaper of its
// descendants: only the command itself is waited for and ended.
package supervise
