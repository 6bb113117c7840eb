package smtpclient

import (
	"bytes"
	"crypto/tls"
	"syscall"
	"testing"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// BenchmarkBegin keeps as many messages in flight as the connection takes.
func BenchmarkBegin(b *testing.B) {
	config, _ := certificate(b, "mx.test")
	for name, o := range map[string]testmx.Options{
		"chunking":   {},
		"pipelining": {Without: testmx.Extensions{Chunking: true}},
		"stepwise":   {Without: testmx.Extensions{Pipelining: true}},
		"TLS":        {TLSConfig: config},
	} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, o, func(c *Client, tx Transaction) {
				results := 0
				for b.Loop() {
					t := tx
					for !c.Room(&t) {
						accept(b, <-c.Results())
						results++
					}
					if err := c.Begin(b.Context(), &t); err != nil {
						b.Fatal(err)
					}
				}
				for ; results < b.N; results++ {
					accept(b, <-c.Results())
				}
			})
		})
	}
}

func accept(b *testing.B, r Result) {
	if r.Err != nil || !r.Answers[0].Reply.Positive() {
		b.Fatalf("%v %v", r.Answers, r.Err)
	}
}

// BenchmarkSend reports the CPU time of client and server together: they
// share a process.
func BenchmarkSend(b *testing.B) {
	config, _ := certificate(b, "mx.test")
	for name, o := range map[string]testmx.Options{
		"pipelined": {},
		"stepwise":  {Without: testmx.Extensions{Pipelining: true}},
		"TLS":       {TLSConfig: config},
	} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, o, func(c *Client, tx Transaction) {
				for b.Loop() {
					if _, err := c.Send(b.Context(), tx); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func benchmark(b *testing.B, o testmx.Options, send func(c *Client, tx Transaction)) {
	server := testmx.New(o)
	addr, err := server.Listen()
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	c, err := Dial(b.Context(), addr, "mx.test", Options{LocalName: "x", TLSConfig: &tls.Config{}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	tx := transactionTo(b, "a@one.example")
	tx.Message = [][]byte{
		[]byte("Subject: hello\r\n\r\n"),
		bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog. And over another one.\r\n"), 150),
	}
	b.ReportAllocs()
	before := cpuTime(b)
	send(c, tx)
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
