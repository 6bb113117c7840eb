// Package log keeps all events in the order in which they happened, one bbolt
// file a day, so that consumers can read them with cursors and history can
// expire by unlinking a file.
//
// A day file is named after its day in UTC and never written to once a later
// day has begun, except to change what it says of a person. Records go to the
// later of their own day and the last one used, so the order by (day,
// position) is the order of positions.
package log
