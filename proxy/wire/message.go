package wire

// Type bytes of the messages that a client sends.
const (
	Query        = 'Q'
	Parse        = 'P'
	Bind         = 'B'
	Describe     = 'D'
	Execute      = 'E'
	Close        = 'C'
	Sync         = 'S'
	Flush        = 'H'
	FunctionCall = 'F'
	CopyData     = 'd' // sent by servers too
	CopyDone     = 'c' // sent by servers too
	CopyFail     = 'f'
	Terminate    = 'X'
	Password     = 'p' // PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse
)

// Type bytes of the messages that a server sends.
const (
	Authentication           = 'R'
	BackendKeyData           = 'K'
	ParameterStatus          = 'S'
	ReadyForQuery            = 'Z'
	NegotiateProtocolVersion = 'v'
	ErrorResponse            = 'E'
	NoticeResponse           = 'N'
	NotificationResponse     = 'A'
	ParseComplete            = '1'
	BindComplete             = '2'
	CloseComplete            = '3'
	ParameterDescription     = 't'
	RowDescription           = 'T'
	NoData                   = 'n'
	DataRow                  = 'D'
	CommandComplete          = 'C'
	EmptyQueryResponse       = 'I'
	PortalSuspended          = 's'
	CopyInResponse           = 'G'
	CopyOutResponse          = 'H'
	CopyBothResponse         = 'W'
	FunctionCallResponse     = 'V'
)

// Transaction status bytes of ReadyForQuery.
const (
	TxIdle   = 'I'
	TxOpen   = 'T'
	TxFailed = 'E'
)

// Request codes that stand where a start-up packet has its protocol version.
const (
	CancelRequestCode = 80877102
	SSLRequestCode    = 80877103
	GSSENCRequestCode = 80877104
)

// Protocol versions, major in the upper 16 bits.
const (
	Protocol30 = 3 << 16
	Protocol32 = 3<<16 | 2
)

// Authentication request codes (the first four bytes of an 'R' message).
const (
	AuthOK                = 0
	AuthKerberosV5        = 2
	AuthCleartextPassword = 3
	AuthMD5Password       = 5
	AuthGSS               = 7
	AuthGSSContinue       = 8
	AuthSSPI              = 9
	AuthSASL              = 10
	AuthSASLContinue      = 11
	AuthSASLFinal         = 12
)

// IsClientType reports whether t is the type byte of a message that a client
// may send once it is logged in.
func IsClientType(t byte) bool {
	switch t {
	case Query, Parse, Bind, Describe, Execute, Close, Sync, Flush, FunctionCall,
		CopyData, CopyDone, CopyFail, Terminate, Password:
		return true
	}
	return false
}
