// Package journal keeps records of bytes in append-only segments. An append is
// on disk when it returns: one committer takes whatever is waiting, writes it
// with one call and syncs once for all. Records are read back by position, or
// in order from any position on. What cannot be parsed is copied aside and
// counted, never deleted.
//
// On disk a segment is a file named by its number in eight digits. It begins
// with a header that also says where the segment before it truly ended, so that
// bytes whose write or sync failed are never read as records. Each record
// carries two checksums: one over its header, bound to the segment's number and
// the record's offset, and one over its payload.
package journal
