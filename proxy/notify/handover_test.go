package notify

import (
	"fmt"
	"strings"
	"testing"

	"carpool/proxy/wire"
)

const testMarker = "carpool_test"

// message makes a NotificationResponse.
func message(pid uint32, channel, payload string) []byte {
	b, mark := wire.Begin(nil, wire.NotificationResponse)
	b = append(b, byte(pid>>24), byte(pid>>16), byte(pid>>8), byte(pid))
	b = wire.AppendString(wire.AppendString(b, channel), payload)
	return wire.Finish(b, mark)
}

func note(channel, payload string) Note {
	return Note{Channel: channel, Message: message(1, channel, payload)}
}

// play runs a script of words and returns what the client gets:
//
//	+c     Begin          c=     Subscribed    c!  Refused    -c  Forget
//	c~     Subscribed, as the answer to the first Begin of c
//	mark   Mark           unmark Unmark        lost  Lost
//	S:c1   the server brings 1 on channel c    H:c1  the hub does
//	S:*    the server brings the token         H:*   the hub does
func play(t *testing.T, script string) (got string) {
	t.Helper()
	h := NewHandover(testMarker)
	var out []string
	release := func(notes []Note) {
		for _, n := range notes {
			out = append(out, n.Channel+string(n.Payload()))
		}
	}
	tickets, first := map[string]uint64{}, map[string]uint64{}
	token, last := "", uint64(0)
	for _, word := range strings.Fields(script) {
		rest := word[min(2, len(word)):]
		channel, payload := "", ""
		if rest == "?" {
			channel, payload = testMarker, "another's"
		} else if rest == "*" {
			channel, payload = testMarker, token
		} else if rest != "" {
			channel, payload = rest[:1], rest[1:]
		}
		switch {
		case word == "mark":
			last++
			if next := fmt.Sprint("token", last); h.Mark(next) {
				token = next
			} else {
				out = append(out, "undue")
			}
		case word == "unmark":
			h.Unmark()
		case word == "lost":
			release(h.Lost())
		case word == "done?":
			out = append(out, fmt.Sprint(h.Done()))
		case word == "all":
			h.ForgetAll()
		case strings.HasPrefix(word, "S:"):
			v, released := h.FromServer([]byte(channel), []byte(payload))
			if v == Deliver {
				out = append(out, channel+payload)
			}
			release(released)
		case strings.HasPrefix(word, "H:"):
			if h.FromHub(note(channel, payload)) == Deliver {
				out = append(out, channel+payload)
			}
		case word[0] == '+':
			last++
			tickets[word[1:]] = last
			if first[word[1:]] == 0 {
				first[word[1:]] = last
			}
			h.Begin(word[1:], last)
		case word[0] == '-':
			release(h.Forget(word[1:]))
		case strings.HasSuffix(word, "~"):
			h.Subscribed(word[:1], first[word[:1]])
		case strings.HasSuffix(word, "="):
			h.Subscribed(word[:1], tickets[word[:1]])
		case strings.HasSuffix(word, "!"):
			deaf, released := h.Refused(word[:1], tickets[word[:1]])
			if deaf {
				out = append(out, "deaf")
			}
			release(released)
		default:
			t.Fatalf("what is %q?", word)
		}
	}
	if len(h.kept) == 0 && h.KeptBytes() != 0 {
		t.Errorf("%d bytes of nothing are kept", h.KeptBytes())
	}
	return strings.Join(out, " ")
}

func TestHandover(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"the server alone", "S:a1 +a S:a2 H:a2 a= S:a3 H:a3", "a1 a2 a3"},
		{"the server shows the token first", "+a a= mark S:a1 S:* S:a2 H:a1 H:* H:a2 H:a3 S:a3 done?", "a1 a2 a3 true"},
		{"the hub shows the token first", "+a a= mark H:a1 H:* H:a2 H:a3 S:a1 done? S:* S:a2 H:a4 done?", "a1 false a2 a3 a4 true"},
		{"others' tokens are nobody's", "+a a= mark S:? H:? S:a1 H:a1 done?", "a1 false"},
		{"a settled channel isn't held back", "+a a= mark S:* H:* +b H:a1 S:b1 b= H:a2 mark H:a3 S:b2 H:b2 S:* H:* H:b3", "a1 b1 a2 a3 b2 b3"},
		{"what comes behind a kept one is kept", "+a a= mark S:* H:* +b b= mark H:* H:b1 H:a1 H:b2 S:b0 S:*", "b0 b1 a1 b2"},
		{"a channel that comes later waits for the next token", "+a a= mark +b b= S:b1 mark S:* H:* S:b2 H:b2 mark S:* H:* H:b3", "b1 undue b2 b3"},
		{"nothing to mark", "mark +a mark", "undue undue"},
		{"the mark fails", "+a a= mark unmark S:a1 H:a1 mark S:* S:a2 H:* H:a2", "a1 a2"},
		{"unmark comes too late", "+a a= mark H:* unmark H:a1 S:*", "a1"},
		{"a late Subscribed of an earlier Listen", "+a -a +a a~ mark done?", "undue false"},
		{"unlisten while crossing", "+a +b a= b= mark H:* H:a1 H:b1 -a S:*", "b1"},
		{"unlisten of the last one crossing frees the others", "+a a= mark S:* H:* +b b= mark H:* H:b1 H:a1 -b H:a2", "a1 a2"},
		{"unlisten, then what is still on its way", "+a a= mark S:* H:* -a H:a1", ""},
		{"everything is forgotten", "+a a= mark H:* H:a1 all S:* H:a2 done?", "true"},
		{"lost before the mark", "+a a= lost S:a1 a= mark S:* H:* H:a2", "a1 a2"},
		{"lost after the mark", "+a a= mark H:* H:a1 lost S:a0 S:* S:a1 a= mark S:a2 S:* H:* H:a3", "a0 a1 a2 a3"},
		{"lost after the server has shown the token", "+a a= mark S:a1 S:* S:a2 lost S:a3 a= H:a2 H:* H:a3 mark S:* H:a3 H:* H:a4 done?", "a1 a3 a4 true"},
		{"lost, and the token of before comes", "+a a= mark lost a= mark S:a1", "a1"},
		{"lost with a settled channel's kept", "+a a= mark S:* H:* +b b= mark H:* H:b1 H:a1 lost S:b1 H:a2", "a1 b1 a2"},
		{"lost when all is settled", "+a a= mark S:* H:* lost S:a1 a= H:a2 done?", "a2 true"},
		{"refused before it began", "+a a! S:a1 H:a1", "a1"},
		{"refused after a loss", "+a a= mark S:* H:* lost a!", "deaf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := play(t, tt.script); got != tt.want {
				t.Errorf("the client gets\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
