package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// requests are whole HTTP requests, ready to be written.
type requests [][]byte

// newRequests asks for paths as a browser would that follows a link.
func newRequests(host string, paths []string) requests {
	r := make(requests, len(paths))
	for i, path := range paths {
		r[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"+
			"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n", path, host)
	}
	return r
}

// turn is what one turn gave.
type turn struct {
	answers int
	took    time.Duration
	// waits are in the order of their length.
	waits []time.Duration
}

func (t turn) perSecond() float64 { return float64(t.answers) / t.took.Seconds() }

// percentile is the wait that a share of the answers did not exceed.
func (t turn) percentile(share float64) time.Duration {
	if len(t.waits) == 0 {
		return 0
	}
	return t.waits[min(int(share*float64(len(t.waits))), len(t.waits)-1)]
}

// ask sends requests over connections that are kept, one after the other on
// each, for a time. Every answer must be a redirect.
func (r requests) ask(address string, connections int, d time.Duration) (turn, error) {
	conns := make([]net.Conn, connections)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return turn{}, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	var group sync.WaitGroup
	waits := make([][]time.Duration, connections)
	errs := make([]error, connections)
	begin := time.Now()
	for i, conn := range conns {
		group.Go(func() { waits[i], errs[i] = r.session(conn, i*len(r)/connections, begin.Add(d)) })
	}
	group.Wait()
	t := turn{took: time.Since(begin), waits: slices.Concat(waits...)}
	t.answers = len(t.waits)
	slices.Sort(t.waits)
	return t, errors.Join(errs...)
}

func (r requests) session(conn net.Conn, first int, end time.Time) ([]time.Duration, error) {
	reader := bufio.NewReader(conn)
	var waits []time.Duration
	for i := first; ; i++ {
		asked := time.Now()
		if asked.After(end) {
			return waits, nil
		}
		if _, err := conn.Write(r[i%len(r)]); err != nil {
			return nil, err
		}
		if err := redirected(reader); err != nil {
			return nil, err
		}
		waits = append(waits, time.Since(asked))
	}
}

// redirected reads an answer, which must be a redirect.
func redirected(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 302 ")) {
		return fmt.Errorf("the answer is %q", line)
	}
	length := 0
	for len(line) > 2 {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	_, err = r.Discard(length)
	return err
}
