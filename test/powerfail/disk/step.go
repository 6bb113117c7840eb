package disk

// Inode numbers a file or a directory. Names come and go; inodes stay.
type Inode int

// Root is the directory that a trace is about.
const Root Inode = 1

// Action is what a step does.
type Action int

const (
	// Write puts Data at Offset of Inode.
	Write Action = iota + 1
	// Resize sets the length of Inode to Offset.
	Resize
	// Extend makes Inode at least Offset long.
	Extend
	// Enter makes Name in directory Inode mean Child.
	Enter
	// Move makes Name in directory Inode mean Child and takes OldName out of
	// directory OldInode.
	Move
	// Leave takes Name out of directory Inode.
	Leave
	// Sync begins to make Inode durable: what was done before.
	Sync
	// Done ends the step numbered Offset. A sync that has not ended promises
	// nothing, and a write that has not ended is promised nothing.
	Done
	// Note is a word of the traced program's about itself, in Data.
	Note
	// Heard is what the program read from a connection, and Said what it began
	// to write to one: Data, on the connection numbered Offset.
	Heard
	Said
)

// Kind is what a name stands for.
type Kind int

const (
	// Regular is a file with content.
	Regular Kind = iota
	// Directory has names in it.
	Directory
	// Socket is a name that a unix socket is bound to.
	Socket
)

// Step is one thing that a traced program asked of the disk, or said.
type Step struct {
	Action   Action
	Inode    Inode
	Offset   int64
	Data     []byte
	Name     string
	Child    Inode
	OldInode Inode
	OldName  string
	// Kind is what Child is.
	Kind Kind
}
