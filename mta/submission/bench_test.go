package submission

import (
	"context"
	"strings"
	"testing"

	"github.com/postrider-mta/postrider/queue"
)

type discard struct{}

func (discard) Accept(context.Context, *queue.Submission) error { return nil }

func (discard) Usage(string) queue.Usage { return queue.Usage{} }

// BenchmarkMessage submits 10 KB over one loopback connection, commands in one
// flight.
func BenchmarkMessage(b *testing.B) {
	o := options(trusted())
	o.Store, o.Limits.Messages = discard{}, 1<<30
	f := start(b, o)
	c := f.greeted(0)
	message := simple + "\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 128) + ".\r\n"
	b.ReportAllocs()
	for b.Loop() {
		c.send("MAIL FROM:<sender@example.com>\r\nRCPT TO:<rcpt@example.net>\r\nDATA\r\n")
		c.expect("250")
		c.expect("250")
		c.expect("354")
		c.send(message)
		c.expect("250")
	}
}

// BenchmarkCompose is what a message costs beside the protocol.
func BenchmarkCompose(b *testing.B) {
	o := options(trusted())
	o.Store = discard{}
	server, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	d := &draft{
		server:      server,
		transaction: &transaction{sender: sender{any: true, tenant: accounts().tenants["hidden"]}},
	}
	message := simple + "\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 128)
	b.ReportAllocs()
	for b.Loop() {
		m := server.buffers.lend()
		m.octets = append(m.octets, message...)
		if _, err := d.compose(m); err != nil {
			b.Fatal(err)
		}
		m.release()
	}
}
