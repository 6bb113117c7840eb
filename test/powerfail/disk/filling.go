package disk

// SectorSize is what a disk writes as a whole or not at all, in octets.
const SectorSize = 512

// filling is the content of a file while requests are applied to it.
type filling struct {
	data []byte
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
		f.resize(max(r.Offset, int64(len(f.data))), nil)
	case Write:
		f.write(r, kept)
		if grown {
			f.resize(max(r.Offset+int64(len(r.Data)), int64(len(f.data))), f.ghost)
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
		f.resize(max(to, int64(len(f.data))), f.ghost)
		f.own()
		copy(f.data[from:to], r.Data[from-r.Offset:])
	}
}

func (f *filling) resize(size int64, ghost []byte) {
	length := int64(len(f.data))
	if size <= length {
		f.data = f.data[:size:size]
		return
	}
	f.own()
	f.data = append(f.data, make([]byte, size-length)...)
	if int64(len(ghost)) > length {
		copy(f.data[length:], ghost[length:])
	}
}

func (f *filling) own() {
	if f.shared {
		f.data, f.shared = append([]byte(nil), f.data...), false
	}
}
