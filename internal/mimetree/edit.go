package mimetree

// Edit replaces the octets from Start up to End by New.
type Edit struct {
	Start, End int
	New        []byte
}

// Apply returns message with the edits made. They are in order and do not
// overlap. message itself is returned where there are none, and never changed.
func Apply(message []byte, edits []Edit) []byte {
	if len(edits) == 0 {
		return message
	}
	size := len(message)
	for _, e := range edits {
		size += len(e.New) - (e.End - e.Start)
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range edits {
		out = append(append(out, message[at:e.Start]...), e.New...)
		at = e.End
	}
	return append(out, message[at:]...)
}
