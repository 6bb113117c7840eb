// Package bounce reads what remote servers say of a failed delivery and tells
// what it means: pure functions over replies, with no I/O and no state.
package bounce
