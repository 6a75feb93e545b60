package state

// Encoding is what has to be known of a client_encoding to find the characters
// that mean something in SQL. Servers turn a text into the encoding of the
// database before they read it, and in those every byte of a character beyond
// ASCII is beyond ASCII. In some that only clients use a later byte can look
// like a letter, a digit or a backslash.
type Encoding uint8

// The encodings.
const (
	// EncodingSafe is any in which ASCII bytes are ASCII characters.
	EncodingSafe Encoding = iota
	// EncodingDouble is BIG5, GBK or UHC: beyond ASCII two bytes are a character.
	EncodingDouble
	// EncodingShiftJIS is SJIS.
	EncodingShiftJIS
	// EncodingGB18030 is GB18030.
	EncodingGB18030
	// EncodingJohab is JOHAB, which Postgres measures like EUC.
	EncodingJohab
	// EncodingUnknown makes every text ambiguous that has a byte beyond ASCII
	// where it matters. It isn't only for encodings that aren't known.
	EncodingUnknown
)

// EncodingOf returns what there is to know of the client_encoding called name,
// in any spelling that Postgres takes.
func EncodingOf(name string) Encoding {
	var room [24]byte
	clean := room[:0]
	for i := range len(name) {
		if c := lower(name[i]); c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			if len(clean) == len(room) {
				return EncodingUnknown
			}
			clean = append(clean, c)
		}
	}
	switch string(clean) {
	case "big5", "win950", "windows950", "gbk", "win936", "windows936", "uhc", "win949", "windows949":
		return EncodingDouble
	case "sjis", "mskanji", "shiftjis", "win932", "windows932":
		return EncodingShiftJIS
	case "shiftjis2004":
		// The server makes a backslash and a tilde of two of its characters, if the
		// database is in UTF8.
		return EncodingUnknown
	case "gb18030":
		return EncodingGB18030
	case "johab":
		return EncodingJohab
	case "":
		return EncodingUnknown
	}
	return EncodingSafe
}

// width is the number of bytes of the character that text begins with, at most
// the bytes there are. Beyond ASCII a byte counts for itself where it doesn't
// matter with which others it is together.
func (e Encoding) width(text []byte) int {
	c, width := text[0], 1
	if c < 0x80 {
		return 1
	}
	switch e {
	case EncodingDouble:
		width = 2
	case EncodingShiftJIS:
		if c < 0xa1 || c > 0xdf { // those are katakana of one byte
			width = 2
		}
	case EncodingGB18030:
		width = 2
		if len(text) > 1 && text[1] >= '0' && text[1] <= '9' {
			width = 4
		}
	case EncodingJohab:
		width = 2
		if c == 0x8f {
			width = 3
		}
	}
	return min(width, len(text))
}

// ascii reports whether text has nothing beyond ASCII.
func ascii(text []byte) bool {
	for _, c := range text {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
