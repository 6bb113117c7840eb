package report

// Bounds on what is read, so that no message costs more than a little.
const (
	// MaxRead is how much of a message is looked at, in octets. Reports come first, the
	// returned message last.
	MaxRead = 4 << 20
	// maxDepth and maxParts bound the structure.
	maxDepth = 8
	maxParts = 64
	// maxFields and maxValue bound a header.
	maxFields = 500
	maxValue  = 8 << 10
	// maxRecipients bounds what a report may speak of.
	maxRecipients = 1000
	// maxWords is how much text is searched for words.
	maxWords = 64 << 10
	// maxDiagnostic bounds a diagnostic.
	maxDiagnostic = 2 << 10
)
