package disk

// SectorSize is what a disk writes as a whole or not at all, in octets.
const SectorSize = 512

// content is what a file holds: data, and so many zeros behind it. Databases
// make their files much longer than what they write.
type content struct {
	data  []byte
	zeros int64
}

func (c *content) length() int64 { return int64(len(c.data)) + c.zeros }

// filling is the content of a file while requests are applied to it.
type filling struct {
	content
	// shared: data belongs to somebody else.
	shared bool
	// ghost is what blocks show that were never written; nil for zeros.
	ghost []byte
}

// apply follows a request. Of a write only the sectors that kept wants, nil for
// all; with grown its whole length even so.
func (f *filling) apply(r *request, kept func(sector int) bool, grown bool) {
	switch r.Action {
	case Resize:
		f.resize(r.Offset, nil)
	case Extend:
		f.resize(max(r.Offset, f.length()), nil)
	case Write:
		f.write(r, kept)
		if grown {
			f.resize(max(r.Offset+int64(len(r.Data)), f.length()), f.ghost)
		}
	}
}

func (f *filling) write(r *request, kept func(int) bool) {
	first, end := r.sectors()
	for sector := first; sector < end; sector++ {
		if kept != nil && !kept(int(sector-first)) {
			continue
		}
		from := max(sector*SectorSize, r.Offset)
		to := min((sector+1)*SectorSize, r.Offset+int64(len(r.Data)))
		f.resize(max(to, f.length()), f.ghost)
		f.spell(to)
		copy(f.data[from:to], r.Data[from-r.Offset:])
	}
}

func (f *filling) resize(size int64, ghost []byte) {
	written, length := int64(len(f.data)), f.length()
	switch {
	case size <= written:
		f.data, f.zeros = f.data[:size:size], 0
	case size > length && int64(len(ghost)) > length:
		f.zeros = size - written
		f.spell(min(size, int64(len(ghost))))
		copy(f.data[length:], ghost[length:])
	default:
		f.zeros = size - written
	}
}

// spell makes data of its own of everything up to an offset, which is within
// the length.
func (f *filling) spell(to int64) {
	missing := to - int64(len(f.data))
	if f.shared {
		f.data, f.shared = append(make([]byte, 0, int64(len(f.data))+max(missing, 0)), f.data...), false
	}
	if missing > 0 {
		f.data = append(f.data, make([]byte, missing)...)
		f.zeros -= missing
	}
}
