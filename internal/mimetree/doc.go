// Package mimetree reads the structure of a message (RFC 5322, RFC 2045, RFC
// 2046) as ranges of its bytes, and changes messages by replacing ranges.
// Whatever no edit names stays byte for byte what it was: white space, folding,
// preambles, boundaries and encodings alike.
//
// It is strict where readers of mail disagree: a message that two programs
// could take apart in different ways is malformed here, and callers leave it
// alone.
package mimetree
