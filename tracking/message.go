package tracking

import "encoding/base32"

// MessageText returns the text form of a message id as events carry it: 20
// characters of 0 to 9 and a to v.
func MessageText(id [12]byte) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	return base32.NewEncoding(digits).WithPadding(base32.NoPadding).EncodeToString(id[:])
}
