package submission

import (
	"bytes"
	"encoding/binary"

	"github.com/emersion/go-smtp"
)

// checkContent refuses what no message may hold: NUL (RFC 5322 section 4.1
// lets nobody make it) and line ends other than CRLF (RFC 5321 section 2.3.8),
// which smuggle mail through servers that take them for line ends.
func checkContent(content []byte) error {
	if bytes.IndexByte(content, 0) >= 0 {
		return refuse(554, smtp.EnhancedCode{5, 6, 0}, reasonContent, "the message holds a NUL octet")
	}
	pairs := bytes.Count(content, []byte("\r\n"))
	if bytes.Count(content, []byte("\n")) != pairs || bytes.Count(content, []byte("\r")) != pairs {
		return refuse(550, smtp.EnhancedCode{5, 6, 11}, reasonContent, "the message holds a bare CR or LF: lines end in CRLF")
	}
	return nil
}

// hasEightBit reports an octet above 127.
func hasEightBit(content []byte) bool {
	const high = 0x8080808080808080
	for len(content) >= 8 {
		if binary.LittleEndian.Uint64(content)&high != 0 {
			return true
		}
		content = content[8:]
	}
	for _, c := range content {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
