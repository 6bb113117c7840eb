package boltqueue

const (
	// arenaChunk is how much an arena takes at once, arenaKept how many chunks
	// it keeps.
	arenaChunk = 64 << 10
	arenaKept  = 64
)

// arena is room for many short byte strings that are let go all at once.
type arena struct {
	chunks [][]byte
	// current is the chunk that is being filled.
	current int
}

// keep returns what encode appended.
func (a *arena) keep(encode func([]byte) []byte) []byte {
	if a.current < len(a.chunks) && cap(a.chunks[a.current])-len(a.chunks[a.current]) < arenaChunk/16 {
		a.current++
	}
	if a.current == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, 0, arenaChunk))
	}
	chunk := a.chunks[a.current]
	start := len(chunk)
	chunk = encode(chunk)
	a.chunks[a.current] = chunk // encode may have moved it to a larger place
	return chunk[start:len(chunk):len(chunk)]
}

// reset lets go of everything.
func (a *arena) reset() {
	if len(a.chunks) > arenaKept {
		clear(a.chunks[arenaKept:])
		a.chunks = a.chunks[:arenaKept]
	}
	for i, chunk := range a.chunks {
		a.chunks[i] = chunk[:0]
		if cap(chunk) > 2*arenaChunk {
			a.chunks[i] = make([]byte, 0, arenaChunk)
		}
	}
	a.current = 0
}
