// Package disk models what a disk may hold after the power failed.
//
// A trace of system calls becomes a sequence of steps; a Model takes them one
// by one and knows at each moment what was made durable and what was only
// asked for. An Image is one tree of files that the disk could hold if the
// power failed at that moment, chosen by a Fate.
//
// The model promises a program no more than POSIX does: the sync of a file
// makes its content and length durable, but not its name; the sync of a
// directory makes the names in it durable. What was not synced may have
// happened in any part and in any order: a write sector by sector, a length
// without the content, a rename without the creation before it, although a
// rename is never half done, and no file has two names.
package disk
