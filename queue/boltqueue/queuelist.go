package boltqueue

import "encoding/binary"

// queueList is the numbers of a message's queues, encoded as its row has them.
// A message to many recipients has many, and is read for each page of each of
// its queues: there they are only copied.
type queueList string

func newQueueList(numbers []uint64) queueList {
	b := binary.AppendUvarint(nil, uint64(len(numbers)))
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return queueList(b)
}

// numbers returns them in a slice of their own.
func (l queueList) numbers() []uint64 {
	d := decoder{b: []byte(l)}
	all := make([]uint64, d.count())
	for i := range all {
		all[i] = d.uvarint()
	}
	return all
}

// queueList reads a list without looking at each number.
func (d *decoder) queueList() queueList {
	list := d.b
	left := d.count()
	length := len(list) - len(d.b)
	for _, c := range d.b {
		if left == 0 {
			break
		}
		if length++; c < 0x80 {
			left--
		}
	}
	if left > 0 {
		d.fail()
		return ""
	}
	d.b = list[length:]
	return queueList(list[:length])
}
