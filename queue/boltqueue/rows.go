package boltqueue

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/queue/journal"
)

// The buckets of queue.db. Numbers in keys are big-endian, so that they sort.
//
//	meta        name -> number
//	segments    segment -> messages and octets owed in it
//	queues      queue -> key, counts, where its recipients begin
//	messages    message -> position, owed recipients, queues, the message
//	recipients  queue, message, index -> due, attempts, recipient, last event
//	due         queue, due, message, index -> nothing, but for prompt ones
//	holds       hold -> the hold
//	usage       tenant -> messages and octets owed
//	cancels     position -> what is cancelled
//	releases    number -> what is being taken up
const (
	bucketMeta       = "meta"
	bucketSegments   = "segments"
	bucketQueues     = "queues"
	bucketMessages   = "messages"
	bucketRecipients = "recipients"
	bucketDue        = "due"
	bucketHolds      = "holds"
	bucketUsage      = "usage"
	bucketCancels    = "cancels"
	bucketReleases   = "releases"
)

func bucketNames() []string {
	return []string{bucketMeta, bucketSegments, bucketQueues, bucketMessages, bucketRecipients, bucketDue, bucketHolds, bucketUsage, bucketCancels, bucketReleases}
}

// The names in the meta bucket.
const (
	metaFormat   = "format"
	metaPosition = "position"
	metaQueues   = "queues"
	metaClean    = "clean"
	// metaUnfinished is there while a checkpoint is.
	metaUnfinished = "unfinished"
	// metaSalt: the journal's salt.
	metaSalt = "salt"

	formatVersion = 3
)

const (
	queueKeyLength     = 8
	recipientKeyLength = queueKeyLength + 12 + 4
	dueKeyLength       = queueKeyLength + 8 + 12 + 4
)

// recipientKey names a recipient in half the space of a queue.RecipientID.
type recipientKey struct {
	message queue.ID
	index   uint32
}

func (k recipientKey) id() queue.RecipientID {
	return queue.RecipientID{Message: k.message, Index: int(k.index)}
}

func keyOf(id queue.RecipientID) recipientKey { return recipientKey{id.Message, uint32(id.Index)} }

func (k recipientKey) append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, k.message[:]...), k.index)
}

// born is the time in the message's id; never for one out of range.
func (k recipientKey) born() int64 {
	var b [8]byte
	copy(b[2:], k.message[:6])
	ms := binary.BigEndian.Uint64(b[:])
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return never
	}
	return int64(ms) * int64(time.Millisecond)
}

// promptly is how long after the time in its message's id a prompt recipient is
// due at most.
const promptly = int64(time.Second)

// prompt reports whether a recipient is due when its message came, as one is
// that was never tried, unless it is to wait for a time. Prompt ones are due in
// the order of their keys: the recipients bucket is their index, and a backlog
// that comes in changes half the pages.
func (m mark) prompt() bool {
	late := m.due - m.born()
	return late >= 0 && late < promptly
}

// bornMark is before, or at, the place of every prompt recipient from k on.
func (k recipientKey) bornMark() mark { return mark{k.born(), k} }

func parseRecipientKey(b []byte) (k recipientKey) {
	copy(k.message[:], b)
	k.index = binary.BigEndian.Uint32(b[len(k.message):])
	return k
}

func queueRowKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func appendRecipientRowKey(b []byte, id uint64, k recipientKey) []byte {
	return k.append(binary.BigEndian.AppendUint64(b, id))
}

// mark is a place in the due order of one queue.
type mark struct {
	due int64
	recipientKey
}

func (m mark) before(other mark) bool {
	if m.due != other.due {
		return m.due < other.due
	}
	if m.message != other.message {
		return string(m.message[:]) < string(other.message[:])
	}
	return m.index < other.index
}

func appendDueKey(b []byte, id uint64, m mark) []byte {
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint64(b, uint64(m.due))
	return m.append(b)
}

// parseDueKey reads what follows the queue in a key of the due index.
func parseDueKey(b []byte) (mark, bool) {
	if len(b) != dueKeyLength {
		return mark{}, false
	}
	return mark{
		due:          int64(binary.BigEndian.Uint64(b[queueKeyLength:])),
		recipientKey: parseRecipientKey(b[queueKeyLength+8:]),
	}, true
}

// queueRow is what bbolt knows of a queue.
type queueRow struct {
	key queue.Key
	// count is of all recipients in bbolt, prompt of the prompt ones.
	count, prompt int
	// due is when the first is due that is not prompt; first is where the prompt
	// ones begin, or before.
	due   int64
	first recipientKey
}

func (r *queueRow) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.count))
	b = binary.AppendUvarint(b, uint64(r.prompt))
	b = binary.AppendUvarint(b, uint64(r.due))
	if r.prompt > 0 {
		b = r.first.append(b)
	}
	b = appendString(b, r.key.Tenant)
	b = appendString(b, r.key.Stream)
	return appendString(b, string(r.key.Domain))
}

func decodeQueueRow(b []byte) (queueRow, error) {
	d := decoder{b: b}
	count, prompt := d.uvarint(), d.uvarint()
	if count > 1<<40 || prompt > count {
		d.fail()
	}
	r := queueRow{count: int(count), prompt: int(prompt), due: d.number()}
	if r.prompt > 0 {
		if first := d.take(recipientKeyLength - queueKeyLength); first != nil {
			r.first = parseRecipientKey(first)
		}
	}
	r.key = queue.Key{Tenant: d.string(), Stream: d.string(), Domain: mail.Domain(d.string())}
	if d.err != nil {
		return r, fmt.Errorf("queue row: %w", d.err)
	}
	return r, nil
}

// messageRow is what bbolt knows of a message.
type messageRow struct {
	position journal.Position
	// bytes is what its record takes in the journal.
	bytes   int64
	owed    int
	queues  queueList
	message *queue.Message
}

func (r *messageRow) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.position))
	b = binary.AppendUvarint(b, uint64(r.bytes))
	b = binary.AppendUvarint(b, uint64(r.owed))
	b = append(b, r.queues...)
	return appendMessage(b, r.message)
}

func decodeMessageRow(b []byte) (messageRow, error) {
	d := decoder{b: b}
	r := messageRow{position: journal.Position(d.uvarint()), bytes: d.number(), owed: int(d.index())}
	r.queues = d.queueList()
	r.message = d.message()
	if d.err != nil {
		return r, fmt.Errorf("message row: %w", d.err)
	}
	return r, nil
}

// recipientRow is what bbolt knows of a recipient.
type recipientRow struct {
	due       int64
	attempts  uint32
	recipient mail.Recipient
	// last is the encoded event of the last deferral; empty before the first.
	last []byte
	// aside is when a recipient that is set aside was due; zero for others.
	aside int64
}

// asideFlag stands in the number of attempts where aside follows it.
const asideFlag = 1 << 31

func (r *recipientRow) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.due))
	if r.aside != 0 {
		b = binary.AppendUvarint(b, uint64(r.attempts)|asideFlag)
		b = binary.AppendUvarint(b, uint64(r.aside))
	} else {
		b = binary.AppendUvarint(b, uint64(r.attempts))
	}
	b = appendRecipient(b, &r.recipient)
	return append(b, r.last...)
}

func decodeRecipientRow(b []byte) (recipientRow, error) {
	d := decoder{b: b}
	r := recipientRow{due: d.number()}
	attempts := d.uvarint()
	if attempts >= 2*asideFlag {
		d.fail()
	}
	if r.attempts = uint32(attempts &^ asideFlag); attempts&asideFlag != 0 {
		r.aside = d.number()
	}
	r.recipient = d.recipient()
	if d.err != nil {
		return r, fmt.Errorf("recipient row: %w", d.err)
	}
	if len(d.b) > 0 {
		r.last = append([]byte(nil), d.b...) // rows end with their transaction
	}
	return r, nil
}

// segmentRow is what is owed of a segment.
type segmentRow struct {
	messages, bytes int64
}

func (r segmentRow) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.messages))
	return binary.AppendUvarint(b, uint64(r.bytes))
}

func decodeSegmentRow(b []byte) (segmentRow, error) {
	d := decoder{b: b}
	r := segmentRow{messages: d.number(), bytes: d.number()}
	return r, d.err
}
