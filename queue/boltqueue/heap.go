package boltqueue

import "container/heap"

// head is the due recipients of a queue that are in memory, first due first.
type head []*entry

func (h head) Len() int           { return len(h) }
func (h head) Less(i, j int) bool { return h[i].mark().before(h[j].mark()) }
func (h head) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *head) Push(x any) {
	e := x.(*entry)
	e.heapIndex = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *head) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.heapIndex = -1
	return e
}

func (h *head) add(e *entry) { heap.Push(h, e) }

func (h *head) remove(e *entry) {
	if e.heapIndex >= 0 {
		heap.Remove(h, e.heapIndex)
	}
	if len(*h) == 0 {
		*h = nil
	}
}

// schedule is the queues that Ready has not reported, first due first.
type schedule []*queueState

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].wake < s[j].wake }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].heapIndex, s[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (s *schedule) Push(x any) {
	q := x.(*queueState)
	q.heapIndex = len(*s)
	*s = append(*s, q)
}

// Pop implements heap.Interface.
func (s *schedule) Pop() any {
	last := len(*s) - 1
	q := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	q.heapIndex = -1
	return q
}

// earliest is when the first queue is due; never without one.
func (s schedule) earliest() int64 {
	if len(s) == 0 {
		return never
	}
	return s[0].wake
}

// set puts the queue where its wake time belongs, or takes it out.
func (s *schedule) set(q *queueState, in bool) {
	switch {
	case in && q.heapIndex >= 0:
		heap.Fix(s, q.heapIndex)
	case in:
		heap.Push(s, q)
	case q.heapIndex >= 0:
		heap.Remove(s, q.heapIndex)
	}
}
