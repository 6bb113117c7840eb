// Package powerfail proves that nothing is lost when the power fails: neither
// by the store nor by the daemon around it.
//
// Something works under strace, and says in the trace what it promises. The
// trace is one sequence of steps. From it the package rebuilds disks that a
// power failure could have left at many moments, opens what is on each, and
// compares what is there with what had been promised before that moment. Some
// disks it damages on purpose: what was hit must be reported, and the rest be
// whole.
//
// There are two who work. A small program calls the store in all ways there
// are, as fast as it can, and announces each call before it and its success
// after it. And the real daemon is loaded from all sides: applications hand in
// mail over SMTP, an exchanger takes, defers and refuses it, readers click and
// unsubscribe, an operator holds, releases, cancels, retries and erases. The
// daemon announces nothing, but all that it hears and says is in the trace: a
// message is promised where the daemon began to write "queued as", an
// unsubscription or an erasure where it began its answer, an event where
// somebody who follows the log was told of it; and nothing may be delivered
// that the exchanger had not taken by then. All of the data folder is rebuilt
// and looked at: journal, queue.db, events, suppressions. On some of the disks
// the daemon itself is started and asked.
//
// From the second life on each begins with a disk that a failure of the one
// before left, so that the power also fails while that is recovered from.
//
// The tests make some 300 disks of the store's and 120 of the daemon's;
// POSTRIDER_CRASH_STATES asks for more of each, and POSTRIDER_CRASH_KEEP names
// a folder that keeps the bad ones as they were:
//
//	POSTRIDER_CRASH_STATES=5000 go test -count=1 -v -timeout 2h -run TestPowerFails ./test/powerfail
//
// Each prints one line, such as
//
//	powerfail: states=300 acknowledged=100000 lost=0 damaged_reported=60
//
// where acknowledged counts, over all disks, what had been promised and was
// looked for. Where strace cannot trace, the tests are skipped.
package powerfail
