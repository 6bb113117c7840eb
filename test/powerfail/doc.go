// Package powerfail proves that the store loses nothing when the power fails.
//
// A small program works on a store under strace and announces before each call
// what it is about to ask for, and after it that the store has promised it. The
// trace, announcements included, is one sequence of steps. From it the package
// rebuilds disks that a power failure could have left at many moments, opens
// the store on each, and compares what it holds with what was announced before
// that moment.
// Some disks it damages on purpose: what was hit must be reported, and the rest
// be whole.
//
// The test makes some 300 disks; POSTRIDER_CRASH_STATES asks for more:
//
//	POSTRIDER_CRASH_STATES=5000 go test -count=1 -v -timeout 30m -run TestPowerFails ./test/powerfail
//
// It prints one line, such as
//
//	powerfail: states=300 acknowledged=100000 lost=0 damaged_reported=60
//
// where acknowledged counts, over all disks, what had been promised and was
// looked for. Where strace cannot trace, the test is skipped.
package powerfail
