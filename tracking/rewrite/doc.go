// Package rewrite puts tracked links and the pixel into a message and leaves
// everything else byte for byte as it was: it finds ranges in the raw message
// and replaces them, and never writes MIME or HTML anew.
//
// What counts as a link is what an HTML5 parser sees as one, and inside
// <noscript> and conditional comments what Outlook sees. Where parsers might
// disagree, nothing is touched.
package rewrite
